//! Leadership by a Lease: one controller writes at a time.
//!
//! This only saves work. Two that write at once break nothing, because every write has a
//! precondition, so the lease needs no fencing.

use std::time::Duration;

use kube::Client;
use kube_lease_manager::{LeaseManager, LeaseManagerBuilder};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::api::names;

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
    keeper: Option<JoinHandle<kube_lease_manager::Result<LeaseManager>>>,
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
    pub async fn elect(client: Client, namespace: &str, identity: &str) -> Self {
        let mut retry = tokio::time::interval(RETRY);
        loop {
            retry.tick().await;
            let manager = LeaseManagerBuilder::new(client.clone(), names::CONTROLLER_LEASE)
                .with_namespace(namespace)
                .with_identity(identity)
                .with_duration(LEASE_SECONDS)
                .with_grace(GRACE_SECONDS)
                .with_field_manager(format!("{}-{identity}", names::FIELD_MANAGER))
                .build()
                .await;
            match manager {
                Ok(manager) => {
                    let (leads, keeper) = manager.watch().await;
                    return Self {
                        leads,
                        keeper: Some(keeper),
                        _always: None,
                    };
                }
                Err(error) => {
                    tracing::warn!(%error, namespace, "Can't use the lease, trying again");
                }
            }
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
