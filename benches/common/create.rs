//! Creating objects in parallel.

use std::fmt::Debug;
use std::sync::Arc;

use kube::api::PostParams;
use kube::{Api, Resource};
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;

/// Creates all objects, this many at a time.
pub(crate) async fn create<K>(api: &Api<K>, creators: usize, objects: Vec<K>)
where
    K: Resource + Serialize + DeserializeOwned + Clone + Debug + Send + Sync + 'static,
{
    let objects = Arc::new(Mutex::new(objects.into_iter()));
    let mut tasks = JoinSet::new();
    for _ in 0..creators {
        let (api, objects) = (api.clone(), Arc::clone(&objects));
        tasks.spawn(async move {
            loop {
                let Some(object) = objects.lock().next() else {
                    return;
                };
                api.create(&PostParams::default(), &object).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
}
