"""What the package exports: each name is imported when it is first used, so that help and memory do without torch."""

from ._activation_dump import (
    ActivationDump as ActivationDump,
    read_dump as read_dump,
)
from ._attribution_build import (
    Graph as Graph,
    build_graph as build_graph,
)
from ._attribution_links import (
    Block as Block,
    Links as Links,
)
from ._attribution_local import (
    LocalModel as LocalModel,
    local_model as local_model,
)
from ._attribution_nodes import (
    Sources as Sources,
    answer_vectors as answer_vectors,
    logit_targets as logit_targets,
    most_likely as most_likely,
)
from ._attribution_plan import (
    count_products as count_products,
)
from ._attribution_scores import (
    Kinds as Kinds,
    Pruned as Pruned,
    prune as prune,
    scores as scores,
)
from ._attribution_types import (
    AttributionGraphResult as AttributionGraphResult,
)
from ._base import (
    NO_GAP as NO_GAP,
    Frozen as Frozen,
    Measurement as Measurement,
    Progress as Progress,
    SubjectKey as SubjectKey,
    Tool as Tool,
    ToolArgs as ToolArgs,
    ToolError as ToolError,
    ToolResult as ToolResult,
    canonical as canonical,
    digest as digest,
    get_tool as get_tool,
    load_tools as load_tools,
    measurement_id as measurement_id,
    silent as silent,
    tool as tool,
)
from ._circuit_graph import (
    CircuitGraph as CircuitGraph,
    Link as Link,
)
from ._circuit_mib import (
    MibCircuit as MibCircuit,
    mib_circuit as mib_circuit,
    read_mib_circuit as read_mib_circuit,
)
from ._dictionary import (
    TRANSCODERS as TRANSCODERS,
    Dictionary as Dictionary,
    LayerStats as LayerStats,
    Transcoder as Transcoder,
)
from ._dictionary_file import (
    dictionary_of as dictionary_of,
    save_dictionary as save_dictionary,
    source_of as source_of,
)
from ._dictionary_fit import (
    fit_transcoders as fit_transcoders,
)
from ._dictionary_quality import (
    evaluate_transcoder as evaluate_transcoder,
)
from ._dictionary_recipe import (
    TranscoderRecipe as TranscoderRecipe,
    check_recipe as check_recipe,
)
from ._dictionary_source import (
    Source as Source,
    check_fit as check_fit,
)
from ._dictionary_training import (
    train_from_file as train_from_file,
    train_transcoders as train_transcoders,
)
from ._dictionary_writing import (
    splices as splices,
)
from ._graph_export import (
    ExportOptions as ExportOptions,
    export_graph as export_graph,
    named_graph as named_graph,
)
from ._graph_grouping import (
    Grouping as Grouping,
    group_graph as group_graph,
    held_out_signatures as held_out_signatures,
    picked_features as picked_features,
    signatures as signatures,
)
from ._graph_json import (
    graph_json as graph_json,
)
from ._graph_networkx import (
    from_networkx as from_networkx,
    graph_from_graphml as graph_from_graphml,
    graphml_of as graphml_of,
    to_networkx as to_networkx,
)
from ._graph_reading import (
    graph_from_json as graph_from_json,
    read_text as read_text,
)
from ._graph_regrouped import (
    regrouped as regrouped,
    slug_of as slug_of,
)
from ._graph_scores import (
    GraphScores as GraphScores,
    Orphans as Orphans,
    graph_scores as graph_scores,
    most_influential as most_influential,
)
from ._graph_types import (
    PlainGraph as PlainGraph,
    PlainNode as PlainNode,
)
from ._hooks import (
    Edit as Edit,
)
from ._hub_names import (
    cached_folder as cached_folder,
    hub_parts as hub_parts,
)
from ._loading import (
    usable_device as usable_device,
)
from ._pair_answers import (
    Pair as Pair,
)
from ._positions import (
    differing_positions as differing_positions,
    token_positions as token_positions,
)
from ._probe_groups import (
    PUBLISHED as PUBLISHED,
    Thresholds as Thresholds,
)
from ._probe_tokens import (
    function_words as function_words,
)
from ._published_comparison import (
    Comparison as Comparison,
    Estimate as Estimate,
    Signature as Signature,
    clustered as clustered,
    corrected_comparison as corrected_comparison,
    held_out_comparison as held_out_comparison,
    published_comparison as published_comparison,
    transfer as transfer,
)
from ._sites import (
    parse_site as parse_site,
)
from ._subgraph_scores import (
    PartScores as PartScores,
    ScoreRange as ScoreRange,
    part_scores as part_scores,
)
from ._subject import (
    REFERENCE_FOLDER as REFERENCE_FOLDER,
    Subject as Subject,
    load_subject as load_subject,
    reference_models as reference_models,
)
from ._supernode_graph import (
    NodeGroup as NodeGroup,
    SupernodeGraph as SupernodeGraph,
    collapse as collapse,
    supernode_scores as supernode_scores,
)
from ._supernode_layout import (
    SupernodeLayout as SupernodeLayout,
    supernode_layout as supernode_layout,
)
from ._supernode_members import (
    grouped_graph as grouped_graph,
    members_of as members_of,
)
from ._tasks import (
    Row as Row,
    TaskFamily as TaskFamily,
    Template as Template,
    exploring_entities as exploring_entities,
    kept_wordings as kept_wordings,
)
from ._threads import (
    one_thread as one_thread,
)
from ._whole_file import (
    write_file as write_file,
)
from ._word_in_prompt import (
    Place as Place,
    put_in as put_in,
)
