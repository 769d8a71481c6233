//! Fair scheduling of queued objects. Pure.
//!
//! Organizations take turns, and so do the namespaces of one organization. A tenant with a thousand
//! objects, in any number of namespaces, delays others by at most the time of one object. No object
//! is processed twice at the same time. An object that changes while it is processed is processed
//! once more.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use tokio::time::Instant;

/// The tenant that an object is processed for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// The organization that owns the object; empty if none does.
    pub organization: Arc<str>,
    /// Namespace of the object.
    pub namespace: Arc<str>,
}

/// Objects that wait, are being processed, or are due later.
#[derive(Debug)]
pub struct Turns<T> {
    organizations: BTreeMap<Arc<str>, Organization<T>>,
    /// Organizations with waiting objects, the next one first.
    order: VecDeque<Arc<str>>,
    objects: BTreeMap<T, Object>,
    later: BTreeSet<(Instant, T)>,
    most_of_organization: usize,
    most_of_namespace: usize,
}

#[derive(Debug)]
struct Organization<T> {
    namespaces: BTreeMap<Arc<str>, Namespace<T>>,
    /// Namespaces with waiting objects, the next one first.
    order: VecDeque<Arc<str>>,
    taken: usize,
}

#[derive(Debug)]
struct Namespace<T> {
    waiting: VecDeque<T>,
    taken: usize,
}

#[derive(Debug)]
struct Object {
    tenant: Tenant,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Waiting,
    Taken { again: bool },
    Later(Instant),
}

impl<T> Default for Organization<T> {
    fn default() -> Self {
        Self {
            namespaces: BTreeMap::new(),
            order: VecDeque::new(),
            taken: 0,
        }
    }
}

impl<T> Default for Namespace<T> {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            taken: 0,
        }
    }
}

impl<T> Organization<T> {
    fn take(&mut self, most_of_namespace: usize) -> Option<T> {
        for _ in 0..self.order.len() {
            let name = self.order.pop_front()?;
            let namespace = self.namespaces.get_mut(&name)?;
            let object = if namespace.taken < most_of_namespace {
                namespace.waiting.pop_front()
            } else {
                None
            };
            namespace.taken += usize::from(object.is_some());
            if !namespace.waiting.is_empty() {
                self.order.push_back(name);
            }
            if object.is_some() {
                self.taken += 1;
                return object;
            }
        }
        None
    }

    fn end(&mut self, name: &str) {
        self.taken = self.taken.saturating_sub(1);
        if let Some(namespace) = self.namespaces.get_mut(name) {
            namespace.taken = namespace.taken.saturating_sub(1);
            if namespace.taken == 0 && namespace.waiting.is_empty() {
                self.namespaces.remove(name);
            }
        }
    }
}

/// Three quarters, so that slow work leaves workers for others.
fn most_of(workers: usize) -> usize {
    workers.saturating_sub(workers / 4).max(1)
}

impl<T: Clone + Ord> Turns<T> {
    /// Creates an empty scheduler for this many workers. One organization gets at most three
    /// quarters of them, and one namespace three quarters of that.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self {
            organizations: BTreeMap::new(),
            order: VecDeque::new(),
            objects: BTreeMap::new(),
            later: BTreeSet::new(),
            most_of_organization: most_of(workers),
            most_of_namespace: most_of(most_of(workers)),
        }
    }

    /// Enqueues an object of a tenant, unless it already waits.
    pub fn push(&mut self, tenant: &Tenant, object: T) {
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
        let organization = self.organizations.entry(Arc::clone(&tenant.organization));
        let organization = organization.or_default();
        let namespace = organization.namespaces.entry(Arc::clone(&tenant.namespace));
        let namespace = namespace.or_default();
        if namespace.waiting.is_empty() {
            if organization.order.is_empty() {
                self.order.push_back(Arc::clone(&tenant.organization));
            }
            organization.order.push_back(Arc::clone(&tenant.namespace));
        }
        namespace.waiting.push_back(object.clone());
        self.set(tenant.clone(), object, State::Waiting);
    }

    /// Takes the next object. The caller processes it and then calls [`Turns::end`].
    pub fn take(&mut self, now: Instant) -> Option<T> {
        self.wake(now);
        for _ in 0..self.order.len() {
            let name = self.order.pop_front()?;
            let organization = self.organizations.get_mut(&name)?;
            let object = if organization.taken < self.most_of_organization {
                organization.take(self.most_of_namespace)
            } else {
                None
            };
            if !organization.order.is_empty() {
                self.order.push_back(name);
            }
            if let Some(object) = object {
                if let Some(known) = self.objects.get_mut(&object) {
                    known.state = State::Taken { again: false };
                }
                return Some(object);
            }
        }
        None
    }

    /// Marks an object as processed. It waits again if it changed in the meantime; otherwise it is
    /// due at `next`.
    pub fn end(&mut self, object: T, next: Option<Instant>) {
        let Some(Object {
            tenant,
            state: State::Taken { again },
        }) = self.objects.remove(&object)
        else {
            return;
        };
        if let Some(organization) = self.organizations.get_mut(&tenant.organization) {
            organization.end(&tenant.namespace);
            if organization.namespaces.is_empty() {
                self.organizations.remove(&tenant.organization);
            }
        }
        if again {
            self.push(&tenant, object);
        } else if let Some(due) = next {
            self.later.insert((due, object.clone()));
            self.set(tenant, object, State::Later(due));
        }
    }

    /// When the next object is due.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        self.later.first().map(|(due, _)| *due)
    }

    fn wake(&mut self, now: Instant) {
        while let Some((due, object)) = self.later.first().cloned()
            && due <= now
        {
            match self
                .objects
                .get(&object)
                .map(|object| object.tenant.clone())
            {
                Some(tenant) => self.push(&tenant, object),
                None => {
                    self.later.pop_first();
                }
            }
        }
    }

    fn set(&mut self, tenant: Tenant, object: T, state: State) {
        self.objects.insert(object, Object { tenant, state });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn tenant(organization: &str, namespace: &str) -> Tenant {
        Tenant {
            organization: organization.into(),
            namespace: namespace.into(),
        }
    }

    /// Takes everything that can be taken now.
    fn drain(turns: &mut Turns<u32>, now: Instant) -> Vec<u32> {
        std::iter::from_fn(|| turns.take(now)).collect()
    }

    #[test]
    fn a_tenant_with_one_object_waits_for_one_object_of_a_tenant_with_a_thousand() {
        let (mut turns, now) = (Turns::new(2), Instant::now());
        (0..1000).for_each(|n| turns.push(&tenant("a", "many"), n));
        turns.push(&tenant("a", "one"), 5000);
        assert_eq!(turns.take(now), Some(0));
        assert_eq!(turns.take(now), Some(5000));
    }

    #[test]
    fn an_organization_gets_no_more_by_having_its_objects_in_many_namespaces() {
        let (mut turns, now) = (Turns::new(2), Instant::now());
        for n in 0..1000 {
            turns.push(&tenant("many", &n.to_string()), n);
        }
        turns.push(&tenant("one", "x"), 5000);
        assert_eq!(turns.take(now), Some(0));
        assert_eq!(turns.take(now), Some(5000));
    }

    #[test]
    fn work_that_never_ends_leaves_workers_to_other_namespaces_and_organizations() {
        let (mut turns, now) = (Turns::new(32), Instant::now());
        (0..1000).for_each(|n| turns.push(&tenant("slow", "a"), n));
        assert_eq!(drain(&mut turns, now).len(), 18, "of one namespace");
        (1000..2000).for_each(|n| turns.push(&tenant("slow", "b"), n));
        assert_eq!(drain(&mut turns, now).len(), 6, "of its organization");
        turns.push(&tenant("other", "c"), 5000);
        assert_eq!(drain(&mut turns, now), [5000]);
        turns.end(0, None);
        assert_eq!(drain(&mut turns, now), [18]);
    }

    #[test]
    fn an_object_waits_once_and_is_worked_on_by_one_worker_at_a_time() {
        let (mut turns, now) = (Turns::new(8), Instant::now());
        (0..3).for_each(|_| turns.push(&tenant("a", "a"), 1));
        assert_eq!(drain(&mut turns, now), [1]);
        (0..3).for_each(|_| turns.push(&tenant("a", "a"), 1));
        assert_eq!(turns.take(now), None);
        turns.end(1, Some(now + Duration::from_mins(1)));
        assert_eq!(drain(&mut turns, now), [1], "it changed meanwhile");
        turns.end(1, None);
        assert_eq!(turns.take(now), None);
        assert!(turns.objects.is_empty() && turns.organizations.is_empty());
        assert!(turns.order.is_empty() && turns.later.is_empty());
    }

    #[test]
    fn an_object_comes_back_when_it_is_due_or_when_it_changes_before() {
        let (mut turns, now) = (Turns::new(8), Instant::now());
        let due = now + Duration::from_secs(5);
        turns.push(&tenant("a", "a"), 1);
        turns.push(&tenant("a", "a"), 2);
        for object in drain(&mut turns, now) {
            turns.end(object, Some(due));
        }
        assert_eq!(turns.next_due(), Some(due));
        turns.push(&tenant("a", "a"), 2);
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
            turns.push(&tenant("a", "1"), n);
            turns.push(&tenant("a", "2"), n + 10);
            turns.push(&tenant("b", "3"), n + 20);
        }
        let mut taken = Vec::new();
        while let Some(object) = turns.take(now) {
            taken.push(object);
            turns.end(object, None);
        }
        assert_eq!(taken, [0, 20, 10, 21, 1, 22, 11, 2, 12]);
    }
}
