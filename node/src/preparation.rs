//! Runs that are made ready before it is settled that they run: what was declared may change until then.

use std::{collections::BTreeMap, mem};

use tokio::task::JoinHandle;

use crate::{
    point::Point,
    run::{self, Order, RunKey, Tools},
};

/// The runs that are being made ready, or are.
pub struct Preparations {
    tools: Tools,
    under_way: BTreeMap<RunKey, Preparation>,
    /// What is being withdrawn. The same run may be ordered otherwise meanwhile.
    leaving: BTreeMap<RunKey, JoinHandle<()>>,
}

struct Preparation {
    order: Order,
    task: JoinHandle<()>,
}

/// Ends when nobody makes the run ready any more.
pub type Prepared = JoinHandle<()>;

impl Preparations {
    /// None.
    pub fn new(tools: Tools) -> Self {
        Self { tools, under_way: BTreeMap::new(), leaving: BTreeMap::new() }
    }

    /// Makes these runs ready, and withdraws all others.
    pub fn follow(&mut self, orders: Vec<Order>) {
        self.leaving.retain(|_, task| !task.is_finished());
        let mut orders: BTreeMap<RunKey, Order> =
            orders.into_iter().map(|order| (order.key(), order)).collect();
        let gone: Vec<RunKey> = self
            .under_way
            .iter()
            .filter(|(key, known)| !orders.get(key).is_some_and(|order| order.needs_the_same(&known.order)))
            .map(|(key, _)| *key)
            .collect();
        for key in gone {
            self.withdraw(&key);
        }
        orders.retain(|key, _| !self.under_way.contains_key(key));
        for (key, order) in orders {
            let (tools, leaving) = (self.tools.clone(), self.leaving.remove(&key));
            let wanted = order.clone();
            let task = tokio::spawn(async move {
                over(leaving).await;
                run::prepare(tools.clone(), wanted).await;
                tools.points.reach(Point::Prepared);
            });
            self.under_way.insert(key, Preparation { order, task });
        }
        self.tell();
    }

    /// Hands over a run that is settled to run, however far it is.
    pub fn take(&mut self, order: &Order) -> Option<Prepared> {
        let key = order.key();
        if self.under_way.get(&key).is_some_and(|known| !known.order.needs_the_same(order)) {
            self.withdraw(&key);
        }
        let known = self.under_way.remove(&key).map(|known| known.task);
        self.tell();
        known.or_else(|| self.leaving.remove(&key))
    }

    /// Withdraws everything, and waits for it.
    pub async fn end(&mut self) {
        self.follow(Vec::new());
        for (_, task) in mem::take(&mut self.leaving) {
            over(Some(task)).await;
        }
    }

    /// Says which runs are nobody's remains although the journal does not know them.
    fn tell(&self) {
        self.tools.ready.send_replace(self.under_way.keys().copied().collect());
    }

    fn withdraw(&mut self, key: &RunKey) {
        let Some(Preparation { order, task }) = self.under_way.remove(key) else { return };
        let tools = self.tools.clone();
        let leaving = tokio::spawn(async move {
            task.abort();
            over(Some(task)).await;
            run::withdraw(tools, order).await;
        });
        self.leaving.insert(*key, leaving);
    }
}

/// Waits for the end of a task. One that panicked or was aborted has ended too.
pub async fn over(task: Option<JoinHandle<()>>) {
    if let Some(task) = task {
        let _ = task.await;
    }
}
