//! The commits between what is in force and a new head, in the order in which the branch took them.

use std::collections::{HashMap, HashSet};

use git2::{Oid, Repository, Sort};

/// How many commits may lie between two syncs. It bounds how long the check takes; a branch that is so far
/// ahead is one that was rewritten from its beginning.
pub(super) const MOST: usize = 10_000;

/// The commits that a head has and the commit in force has not.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct History {
    /// What the branch took in one go: the commits that a merge brings in, and then the commit of the
    /// branch itself. When there is no telling what the branch was in between, it is one step.
    pub(super) steps: Vec<Vec<Oid>>,
    /// Whether the head does not contain the commit in force.
    pub(super) rewritten: bool,
}

impl History {
    /// Walks from a head to the commit in force, which need not be there any more. Nothing when there are too many.
    pub(super) fn walk(git: &Repository, applied: Oid, head: Oid) -> Result<Option<Self>, git2::Error> {
        let there = git.find_commit(applied).is_ok();
        let rewritten = head != applied && !(there && git.graph_descendant_of(head, applied)?);
        let mut walk = git.revwalk()?;
        walk.set_sorting(Sort::TOPOLOGICAL | Sort::REVERSE)?;
        walk.push(head)?;
        if there {
            walk.hide(applied)?;
        }
        let commits: Vec<Oid> = walk.take(MOST + 1).collect::<Result<_, _>>()?;
        if commits.len() > MOST {
            return Ok(None);
        }
        let mut parents = HashMap::with_capacity(commits.len());
        for id in &commits {
            parents.insert(*id, git.find_commit(*id)?.parent_ids().collect::<Vec<_>>());
        }
        let steps = match line(&parents, applied, head) {
            Some(line) => steps(&parents, &line),
            None if commits.is_empty() => Vec::new(),
            None => vec![commits],
        };
        Ok(Some(Self { steps, rewritten }))
    }
}

/// The line of first parents from the commit in force to the head, if it leads there.
fn line(parents: &HashMap<Oid, Vec<Oid>>, applied: Oid, head: Oid) -> Option<Vec<Oid>> {
    let mut line = Vec::new();
    let mut at = head;
    while at != applied {
        line.push(at);
        at = *parents.get(&at)?.first()?;
    }
    line.reverse();
    Some(line)
}

/// For each commit of the line: what comes in with it, and itself.
fn steps(parents: &HashMap<Oid, Vec<Oid>>, line: &[Oid]) -> Vec<Vec<Oid>> {
    let mut seen: HashSet<Oid> = line.iter().copied().collect();
    let mut steps = Vec::with_capacity(line.len());
    for commit in line {
        let mut step = Vec::new();
        let mut left: Vec<Oid> = parents[commit].iter().skip(1).copied().collect();
        while let Some(id) = left.pop() {
            if let Some(above) = parents.get(&id).filter(|_| seen.insert(id)) {
                step.push(id);
                left.extend(above);
            }
        }
        step.push(*commit);
        steps.push(step);
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> Oid {
        Oid::from_bytes(&[number; 20]).unwrap()
    }

    fn graph(edges: &[(u8, &[u8])]) -> HashMap<Oid, Vec<Oid>> {
        edges.iter().map(|(of, to)| (id(*of), to.iter().map(|to| id(*to)).collect())).collect()
    }

    #[test]
    fn a_merge_takes_what_comes_in_with_it() {
        // 1 is in force; 2 and 5 are of the branch, 3 and 4 of a side branch that began before 1.
        let graph = graph(&[(2, &[1]), (3, &[9]), (4, &[3]), (5, &[2, 4]), (6, &[5])]);
        let line = line(&graph, id(1), id(6)).unwrap();
        assert_eq!(line, [id(2), id(5), id(6)]);
        assert_eq!(steps(&graph, &line), [vec![id(2)], vec![id(4), id(3), id(5)], vec![id(6)]]);
    }

    #[test]
    fn a_merge_the_other_way_round_is_no_line() {
        let graph = graph(&[(3, &[9]), (4, &[3, 1])]);
        assert_eq!(line(&graph, id(1), id(4)), None);
        assert_eq!(line(&graph, id(1), id(1)), Some(Vec::new()));
    }
}
