//! Deliveries that came already.

use std::collections::{HashSet, VecDeque};

use super::Forge;

/// How many deliveries are remembered. A forge tries again within hours, and a busy testbed has a few hundred
/// pushes a day, so this is days of them; with the longest ids it is less than a MiB.
const REMEMBERED: usize = 4_096;

/// The longest id that is taken. Forges send UUIDs.
pub(super) const MAX_ID: usize = 128;

/// The deliveries that came last. Only those that were proven get in, so that a stranger cannot push others out.
#[derive(Debug, Default)]
pub(super) struct Replays {
    known: HashSet<(Forge, String)>,
    order: VecDeque<(Forge, String)>,
}

impl Replays {
    /// Whether a delivery is new; from now on it is not.
    pub(super) fn is_new(&mut self, forge: Forge, id: &str) -> bool {
        let delivery = (forge, id.to_owned());
        if !self.known.insert(delivery.clone()) {
            return false;
        }
        self.order.push_back(delivery);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_deliveries_are_remembered_and_no_more() {
        let mut replays = Replays::default();
        assert!(replays.is_new(Forge::Github, "first"));
        assert!(!replays.is_new(Forge::Github, "first"));
        assert!(
            replays.is_new(Forge::Gitea, "first"),
            "ids of different forges have nothing to do with each other"
        );
        for number in 0..REMEMBERED {
            assert!(replays.is_new(Forge::Github, &number.to_string()));
        }
        assert_eq!((replays.known.len(), replays.order.len()), (REMEMBERED, REMEMBERED));
        assert!(!replays.is_new(Forge::Github, "0"));
        assert!(replays.is_new(Forge::Github, "first"));
    }
}
