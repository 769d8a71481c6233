//! Leadership by a Lease: one controller writes at a time.
//!
//! This only saves work. Two that write at once break nothing, because every write has a
//! precondition, so the lease needs no fencing.

use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::coordination::v1::Lease;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use kube_lease_manager::{LeaseManager, LeaseManagerBuilder};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::api::names;
use crate::watch::Backoff;

/// Others may take over this long after the last sign of life. Unit: seconds.
const LEASE_SECONDS: u64 = 15;
/// The lease is renewed this long before its end. Unit: seconds.
const GRACE_SECONDS: u64 = 5;
/// Wait before the lease is tried again when the API server refuses.
const RETRY: Duration = Duration::from_secs(2);
/// Longest wait for the lease to be given back at the end.
const RELEASE_DEADLINE: Duration = Duration::from_secs(5);

/// Whether this process leads, as it changes. Dropping the receiver gives the lease back.
pub struct Leadership {
    /// True while this process leads.
    pub leads: watch::Receiver<bool>,
    keeper: Option<JoinHandle<()>>,
    /// Keeps `leads` open where there is no keeper.
    _always: Option<watch::Sender<bool>>,
}

impl Leadership {
    /// Leads from the start and for ever.
    #[must_use]
    pub fn without_election() -> Self {
        let (sender, leads) = watch::channel(true);
        Self {
            leads,
            keeper: None,
            _always: Some(sender),
        }
    }

    /// Stands for election under this identity. Tries until the API server lets it.
    #[must_use]
    pub fn elect(client: Client, namespace: &str, identity: String) -> Self {
        let (sender, leads) = watch::channel(false);
        let candidate = Candidate {
            client,
            namespace: namespace.to_owned(),
            identity,
        };
        Self {
            leads,
            keeper: Some(tokio::spawn(candidate.stand(sender))),
            _always: None,
        }
    }

    /// Gives the lease back, so that another can take over at once.
    pub async fn release(self) {
        let Self { leads, keeper, .. } = self;
        drop(leads);
        if let Some(keeper) = keeper
            && tokio::time::timeout(RELEASE_DEADLINE, keeper)
                .await
                .is_err()
        {
            tracing::warn!("The lease was not given back in time");
        }
    }
}

/// Who stands for election.
struct Candidate {
    client: Client,
    namespace: String,
    identity: String,
}

impl Candidate {
    /// Tells whether it leads until nobody listens, and gives the lease back then.
    async fn stand(self, leads: watch::Sender<bool>) {
        while !leads.is_closed() {
            let manager = tokio::select! {
                manager = self.manager() => manager,
                () = leads.closed() => return,
            };
            let (mut term, keeper) = manager.watch().await;
            self.follow(&mut term, &leads).await;
            drop(term);
            if let Err(error) = keeper.await {
                tracing::warn!(%error, "The lease is kept no longer");
            }
            leads.send_replace(false);
        }
    }

    /// Passes on who leads, until nobody listens or the lease has to be asked for anew. The manager
    /// sleeps until a lease ends that it saw held, so it has to be told when one is given back.
    async fn follow(&self, term: &mut watch::Receiver<bool>, leads: &watch::Sender<bool>) {
        leads.send_replace(*term.borrow_and_update());
        let mut given_back = std::pin::pin!(self.given_back());
        loop {
            let stands_by = !*leads.borrow();
            tokio::select! {
                () = leads.closed() => return,
                changed = term.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    leads.send_replace(*term.borrow_and_update());
                }
                () = &mut given_back, if stands_by => return,
            }
        }
    }

    /// Waits until somebody who held the lease holds it no longer.
    async fn given_back(&self) {
        let leases = Api::<Lease>::namespaced(self.client.clone(), &self.namespace);
        let name = format!("metadata.name={}", names::CONTROLLER_LEASE);
        let config = watcher::Config::default().fields(&name);
        let seen = watcher(leases, config)
            .backoff(Backoff::default())
            .touched_objects();
        let mut seen = std::pin::pin!(seen);
        let mut held = false;
        while let Some(lease) = seen.next().await {
            match lease.map(|lease| lease.spec.and_then(|spec| spec.holder_identity)) {
                Ok(Some(_)) => held = true,
                Ok(None) if held => return,
                Ok(None) => {}
                Err(error) => tracing::debug!(%error, "The lease is not seen"),
            }
        }
    }

    async fn manager(&self) -> LeaseManager {
        let Self {
            namespace,
            identity,
            ..
        } = self;
        let mut retry = tokio::time::interval(RETRY);
        loop {
            retry.tick().await;
            let manager = LeaseManagerBuilder::new(self.client.clone(), names::CONTROLLER_LEASE)
                .with_namespace(namespace)
                .with_identity(identity)
                .with_duration(LEASE_SECONDS)
                .with_grace(GRACE_SECONDS)
                .with_field_manager(format!("{}-{identity}", names::FIELD_MANAGER))
                .build()
                .await;
            match manager {
                Ok(manager) => return manager,
                Err(error) => {
                    tracing::warn!(%error, namespace, "Can't use the lease, trying again");
                }
            }
        }
    }
}
