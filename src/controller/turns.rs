//! Whose turn it is: what waits for a worker, tenant by tenant. Pure.
//!
//! Tenants take turns, so that somebody with a thousand objects to reconcile keeps nobody else waiting for
//! longer than one object takes. No object is worked on twice at the same time, and one that changes while
//! it is worked on is looked at once more.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use tokio::time::Instant;

/// What waits, is worked on, or comes later.
#[derive(Debug)]
pub struct Turns<T> {
    /// Tenants that something waits for, the next one first.
    order: VecDeque<Arc<str>>,
    tenants: BTreeMap<Arc<str>, Tenant<T>>,
    objects: BTreeMap<T, Object>,
    later: BTreeSet<(Instant, T)>,
    most_of_one_tenant: usize,
}

#[derive(Debug)]
struct Tenant<T> {
    waiting: VecDeque<T>,
    taken: usize,
}

impl<T> Default for Tenant<T> {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            taken: 0,
        }
    }
}

#[derive(Debug)]
struct Object {
    tenant: Arc<str>,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Waiting,
    Taken { again: bool },
    Later(Instant),
}

impl<T: Clone + Ord> Turns<T> {
    /// Nothing waits. So many workers there are; one tenant gets three quarters of them at most, so that
    /// slow work of one leaves some to the others.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self {
            order: VecDeque::new(),
            tenants: BTreeMap::new(),
            objects: BTreeMap::new(),
            later: BTreeSet::new(),
            most_of_one_tenant: workers.saturating_sub(workers / 4).max(1),
        }
    }

    /// Has an object of a tenant wait for its turn, once.
    pub fn push(&mut self, tenant: &Arc<str>, object: T) {
        match self
            .objects
            .get_mut(&object)
            .map(|object| &mut object.state)
        {
            Some(State::Waiting) => return,
            Some(State::Taken { again }) => {
                *again = true;
                return;
            }
            Some(State::Later(due)) => {
                self.later.remove(&(*due, object.clone()));
            }
            None => {}
        }
        let lane = self.tenants.entry(Arc::clone(tenant)).or_default();
        if lane.waiting.is_empty() {
            self.order.push_back(Arc::clone(tenant));
        }
        lane.waiting.push_back(object.clone());
        self.set(tenant, object, State::Waiting);
    }

    /// The object whose turn it is; the caller works on it and then says [`Turns::end`].
    pub fn take(&mut self, now: Instant) -> Option<T> {
        self.wake(now);
        for _ in 0..self.order.len() {
            let tenant = self.order.pop_front()?;
            let lane = self.tenants.get_mut(&tenant)?;
            if lane.taken >= self.most_of_one_tenant {
                self.order.push_back(tenant);
                continue;
            }
            let object = lane.waiting.pop_front()?;
            lane.taken += 1;
            if !lane.waiting.is_empty() {
                self.order.push_back(Arc::clone(&tenant));
            }
            self.set(&tenant, object.clone(), State::Taken { again: false });
            return Some(object);
        }
        None
    }

    /// An object is no longer worked on. It waits again if it changed meanwhile, else from the time on that
    /// `next` says.
    pub fn end(&mut self, object: T, next: Option<Instant>) {
        let Some(Object {
            tenant,
            state: State::Taken { again },
        }) = self.objects.remove(&object)
        else {
            return;
        };
        if let Some(lane) = self.tenants.get_mut(&tenant) {
            lane.taken = lane.taken.saturating_sub(1);
            if lane.taken == 0 && lane.waiting.is_empty() {
                self.tenants.remove(&tenant);
            }
        }
        if again {
            self.push(&tenant, object);
        } else if let Some(due) = next {
            self.later.insert((due, object.clone()));
            self.set(&tenant, object, State::Later(due));
        }
    }

    /// When the next object has to be looked at again.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        self.later.first().map(|(due, _)| *due)
    }

    /// How many objects wait for their turn.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.tenants.values().map(|lane| lane.waiting.len()).sum()
    }

    fn wake(&mut self, now: Instant) {
        while let Some((due, object)) = self.later.first().cloned()
            && due <= now
        {
            let tenant = self.objects.get(&object).map(|object| &object.tenant);
            match tenant.map(Arc::clone) {
                Some(tenant) => self.push(&tenant, object),
                None => {
                    self.later.pop_first();
                }
            }
        }
    }

    fn set(&mut self, tenant: &Arc<str>, object: T, state: State) {
        let tenant = Arc::clone(tenant);
        self.objects.insert(object, Object { tenant, state });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn tenant(name: &str) -> Arc<str> {
        name.into()
    }

    /// Everything that can be taken now.
    fn drain(turns: &mut Turns<u32>, now: Instant) -> Vec<u32> {
        std::iter::from_fn(|| turns.take(now)).collect()
    }

    #[test]
    fn a_tenant_with_one_object_waits_for_one_object_of_a_tenant_with_a_thousand() {
        let (mut turns, now) = (Turns::new(2), Instant::now());
        (0..1000).for_each(|n| turns.push(&tenant("many"), n));
        turns.push(&tenant("one"), 5000);
        assert_eq!(turns.take(now), Some(0));
        assert_eq!(turns.take(now), Some(5000));
    }

    #[test]
    fn a_tenant_whose_work_never_ends_leaves_a_quarter_of_the_workers_to_others() {
        let (mut turns, now) = (Turns::new(32), Instant::now());
        (0..1000).for_each(|n| turns.push(&tenant("slow"), n));
        assert_eq!(drain(&mut turns, now).len(), 24);
        turns.push(&tenant("one"), 5000);
        assert_eq!(turns.take(now), Some(5000));
        turns.end(0, None);
        assert_eq!(drain(&mut turns, now), [24]);
    }

    #[test]
    fn an_object_waits_once_and_is_worked_on_by_one_worker_at_a_time() {
        let (mut turns, now) = (Turns::new(8), Instant::now());
        (0..3).for_each(|_| turns.push(&tenant("a"), 1));
        assert_eq!(drain(&mut turns, now), [1]);
        (0..3).for_each(|_| turns.push(&tenant("a"), 1));
        assert_eq!(turns.take(now), None);
        turns.end(1, Some(now + Duration::from_mins(1)));
        assert_eq!(drain(&mut turns, now), [1], "it changed meanwhile");
        turns.end(1, None);
        assert_eq!(turns.take(now), None);
        assert!(turns.objects.is_empty() && turns.tenants.is_empty() && turns.order.is_empty());
    }

    #[test]
    fn an_object_comes_back_when_it_is_due_or_when_it_changes_before() {
        let (mut turns, now) = (Turns::new(8), Instant::now());
        let due = now + Duration::from_secs(5);
        turns.push(&tenant("a"), 1);
        turns.push(&tenant("a"), 2);
        for object in drain(&mut turns, now) {
            turns.end(object, Some(due));
        }
        assert_eq!((turns.next_due(), turns.waiting()), (Some(due), 0));
        turns.push(&tenant("a"), 2);
        assert_eq!(drain(&mut turns, now), [2]);
        assert_eq!(drain(&mut turns, due), [1]);
        turns.end(1, None);
        turns.end(2, None);
        assert_eq!((turns.next_due(), turns.take(due)), (None, None));
    }

    #[test]
    fn one_worker_works_for_everybody_in_turn() {
        let (mut turns, now) = (Turns::new(1), Instant::now());
        for n in 0..3 {
            turns.push(&tenant("a"), n);
            turns.push(&tenant("b"), n + 10);
        }
        let mut taken = Vec::new();
        while let Some(object) = turns.take(now) {
            taken.push(object);
            turns.end(object, None);
        }
        assert_eq!(taken, [0, 10, 1, 11, 2, 12]);
    }
}
