//! The pepper ring: made once, kept in the operator's namespace, shared by all replicas.

use std::sync::Arc;

use futures::TryStreamExt as _;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};

use super::context::{Context, post_params};
use crate::api::names;
use crate::credential::fingerprint::PepperRing;
use crate::error::{Class, Error, request};

/// Reads the ring, or makes it. Of two that make it at once, one wins and both use that.
///
/// # Errors
/// A request failed, or the stored ring can't be read: a new one would make every fingerprint
/// useless, so that is left to people.
pub async fn ensure(ctx: &Context) -> Result<(), Error> {
    let secrets = ctx.secrets_in(&ctx.namespace);
    loop {
        let stored = secrets.get_opt(names::PEPPERS_SECRET);
        if let Some(secret) = request("read the pepper ring", stored).await? {
            *ctx.peppers.write() = Some(Arc::new(read(&secret)?));
            return Ok(());
        }
        let known = ctx.peppers.read().clone();
        let ring = match known {
            Some(ring) => ring,
            None => Arc::new(
                PepperRing::generate(ctx.clock.now())
                    .map_err(|error| Error::internal("make the pepper ring", &error))?,
            ),
        };
        let secret = render(&ring, &ctx.namespace)?;
        match request(
            "store the pepper ring",
            secrets.create(&post_params(), &secret),
        )
        .await
        {
            Ok(_) => tracing::info!(secret = names::PEPPERS_SECRET, "Stored the pepper ring"),
            Err(error) if error.class() == Class::Conflict => {}
            Err(error) => return Err(error),
        }
    }
}

/// Follows the ring: takes in a new one, and stores the known one again if it is removed.
pub async fn follow(ctx: Arc<Context>) {
    let config =
        watcher::Config::default().fields(&format!("metadata.name={}", names::PEPPERS_SECRET));
    let mut events =
        std::pin::pin!(watcher(ctx.secrets_in(&ctx.namespace), config).default_backoff());
    loop {
        match events.try_next().await {
            Ok(Some(Event::Apply(_) | Event::Delete(_) | Event::InitDone)) => {
                if let Err(error) = ensure(&ctx).await {
                    tracing::error!(%error, "The pepper ring is not usable; using the known one");
                }
            }
            Ok(Some(Event::Init | Event::InitApply(_))) => {}
            Ok(None) => return,
            Err(error) => {
                ctx.metrics.watch_failed("PepperRing");
                tracing::warn!(%error, "The watch of the pepper ring failed; it is opened anew");
            }
        }
    }
}

fn read(secret: &Secret) -> Result<PepperRing, Error> {
    let data = secret
        .data
        .as_ref()
        .and_then(|data| data.get(names::KEY_RING_DATA_KEY));
    PepperRing::parse(data.map_or(&[], |json| &json.0))
        .map_err(|error| Error::internal("read the pepper ring", &error))
}

fn render(ring: &PepperRing, namespace: &str) -> Result<Secret, Error> {
    let json = ring
        .to_json()
        .map_err(|error| Error::internal("write the pepper ring", &error))?;
    let labels = [
        (names::LABEL_MANAGED_BY, names::MANAGED_BY),
        (names::LABEL_COMPONENT, names::COMPONENT_KEY_RING),
    ];
    Ok(Secret {
        metadata: ObjectMeta {
            name: Some(names::PEPPERS_SECRET.to_owned()),
            namespace: Some(namespace.to_owned()),
            labels: Some(
                labels
                    .map(|(key, value)| (key.to_owned(), value.to_owned()))
                    .into(),
            ),
            ..ObjectMeta::default()
        },
        type_: Some(names::KEY_RING_SECRET_TYPE.to_owned()),
        data: Some(
            [(
                names::KEY_RING_DATA_KEY.to_owned(),
                ByteString(json.to_vec()),
            )]
            .into(),
        ),
        ..Secret::default()
    })
}
