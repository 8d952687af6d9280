"""Attribution graphs: what the page draws, what is known of its features, and the groups that people make."""

import json
from typing import Any, Literal

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from ..commands.kept import kept_by
from .graphs import FeaturesKnown, GraphShown, features_known, graph_measurement, graph_shown
from .groups import Groups, GroupsWanted, StaleGroups, grouped_file, keep_groups, read_groups
from .problems import Problem
from .routes_runs import MeasurementName, RunName
from .shelf import Shelf

Format = Literal["neuronpedia"]


def graph_routes(shelf: Shelf) -> APIRouter:
    """Everything about the graphs of a run."""
    router = APIRouter(prefix="/api/runs/{name}/graphs/{measurement_id}", tags=["graphs"])

    @router.get("")
    def graph(name: RunName, measurement_id: MeasurementName) -> GraphShown:
        """An attribution graph of a run, also of one without a report."""
        folder = shelf.run(name)
        return graph_shown(graph_measurement(shelf, folder, measurement_id), folder.name)

    @router.get("/features")
    def features(name: RunName, measurement_id: MeasurementName) -> FeaturesKnown:
        """Where the graph's features fire and what they raise, as far as the run has measured it."""
        folder = shelf.run(name)
        return features_known(graph_measurement(shelf, folder, measurement_id), kept_by(folder))

    @router.get("/groups")
    def groups(name: RunName, measurement_id: MeasurementName) -> Groups:
        """Groups of nodes: a person's, or the run's own supernodes until somebody changes them."""
        folder = shelf.run(name)
        return read_groups(folder, graph_measurement(shelf, folder, measurement_id))

    @router.post("/groups", status_code=201, response_model=Groups, responses={409: {"model": Problem}})
    def regroup(name: RunName, measurement_id: MeasurementName, wanted: GroupsWanted) -> Any:
        """Keep groups; refused with 409 where somebody else has changed them since they were read."""
        folder = shelf.run(name)
        try:
            return keep_groups(folder, graph_measurement(shelf, folder, measurement_id), wanted)
        except StaleGroups as error:
            return JSONResponse(Problem(error=error.message, mend=error.mend).model_dump(), 409)

    @router.get("/export/{format}", response_class=Response)
    def export(name: RunName, measurement_id: MeasurementName, format: Format) -> Response:
        """The graph with its groups, as a file for Neuronpedia or circuit-tracer's viewer."""
        folder = shelf.run(name)
        file = grouped_file(folder, graph_measurement(shelf, folder, measurement_id))
        headers = {"content-disposition": f'attachment; filename="{file["metadata"]["slug"]}.json"'}
        return Response(json.dumps(file, allow_nan=False), media_type="application/json", headers=headers)

    return router
