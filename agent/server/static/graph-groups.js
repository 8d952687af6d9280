// Groups of nodes: how a list of them changes, and how it is kept on the server. Plain data but for the keeping.
import { get, post, runPath } from "./api.js";

const LONGEST = 80; // characters of a name

export function freshName(groups) {
  const taken = new Set(groups.map((group) => group.name));
  for (let n = 1; ; n++) if (!taken.has(`Group ${n}`)) return `Group ${n}`;
}

// Nodes put together: into the group `into`, or a new one; they leave the groups that they were in.
export function together(groups, ids, into = null) {
  const moved = new Set(ids), name = into ?? freshName(groups);
  const left = groups.map((group) => (group.name === into ? group : { name: group.name, members: group.members.filter((id) => !moved.has(id)) }));
  const there = left.find((group) => group.name === into);
  const members = [...new Set([...(there?.members ?? []), ...ids])];
  const next = there ? left.map((group) => (group === there ? { name, members } : group)) : [...left, { name, members }];
  return { name, groups: next.filter((group) => group.members.length > 0) };
}

export function without(groups, ids) {
  const out = new Set(ids);
  return groups.map(({ name, members }) => ({ name, members: members.filter((id) => !out.has(id)) })).filter((group) => group.members.length > 0);
}

export function renamed(groups, from, to) {
  const name = to.trim().slice(0, LONGEST);
  if (!name) throw new Error("A group needs a name.");
  if (name !== from && groups.some((group) => group.name === name)) throw new Error(`Another group is called “${name}”.`);
  return groups.map((group) => (group.name === from ? { name, members: group.members } : group));
}

export class Kept {
  constructor(run, id) {
    this.path = runPath(run, "graphs", id, "groups");
    this.groups = [];
    this.revision = 0;
    this.before = []; // for undoing
  }

  async read() {
    const { groups, revision } = await get(this.path);
    Object.assign(this, { groups, revision });
  }

  // Refused where somebody else changed them meanwhile; then theirs are read, so that nothing is overwritten unseen.
  async change(groups, isUndoing = false) {
    const before = this.groups;
    try {
      const kept = await post(this.path, { revision: this.revision, groups });
      Object.assign(this, { groups: kept.groups, revision: kept.revision });
      if (!isUndoing) this.before.push(before);
    } catch (error) {
      if (error.status === 409) {
        this.before = [];
        await this.read();
      }
      throw error;
    }
  }

  async undo() {
    if (!this.before.length) return;
    await this.change(this.before.at(-1), true);
    this.before.pop();
  }
}
