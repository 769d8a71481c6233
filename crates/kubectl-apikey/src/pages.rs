//! Lists of objects, and objects that can't be read.

use kube::api::ListParams;
use kube::core::Request;
use kube::{Api, Client, Resource};

use super::exit::Failure;
use apikey_client::error::request;
use apikey_client::object::{Answer, Decode, Identity, Page, Stored, Unreadable};

/// Maximum number of objects in one response of the API server.
const PAGE: u32 = 500;

/// The objects of a list, and those that can't be read.
#[derive(Debug)]
pub(super) struct Listed<K> {
    pub(super) objects: Vec<K>,
    pub(super) unreadable: Vec<Unread>,
}

/// An object that can't be read.
#[derive(Debug)]
pub(super) struct Unread {
    pub(super) identity: Identity,
    pub(super) why: Unreadable,
}

/// The failure for a key that can't be read.
pub(super) fn unreadable(key: &Unread) -> Failure {
    let Unread { identity, why } = key;
    let namespace = identity.namespace.as_deref().unwrap_or_default();
    Failure::failed(format!(
        "apikey/{name} in namespace '{namespace}' can't be read: {why}. An operator of this version \
         refuses it. Look at it with `kubectl get apikey {name} -n {namespace} -o yaml`, and apply it \
         again, update this program if the operator is newer, or delete it with `kubectl delete apikey \
         {name} -n {namespace}`",
        name = identity.name
    ))
}

pub(super) fn read<K>(Stored { identity, object }: Stored<K>) -> Result<K, Unread> {
    object.map_err(|why| Unread { identity, why })
}

/// Lists all objects, separated into those that can be decoded and the others.
pub(super) async fn list<K: Decode + Resource>(
    api: Api<Answer<K>>,
    doing: &'static str,
    params: ListParams,
) -> Result<Listed<K>, Failure> {
    let target = Request::new(api.resource_url());
    let all = all(api.into_client(), target, doing, params).await?;
    let mut listed = Listed {
        objects: Vec::new(),
        unreadable: Vec::new(),
    };
    for item in all {
        match read(item) {
            Ok(object) => listed.objects.push(object),
            Err(unread) => listed.unreadable.push(unread),
        }
    }
    Ok(listed)
}

/// Lists all objects page by page. An object that can't be decoded does not affect the others.
pub(super) async fn all<K: Decode>(
    client: Client,
    target: Request,
    doing: &'static str,
    params: ListParams,
) -> Result<Vec<Stored<K>>, Failure> {
    let mut params = params.limit(PAGE);
    let mut all = Vec::new();
    loop {
        let asked = target.list(&params).map_err(kube::Error::BuildRequest);
        let page = async { client.request::<Page<K>>(asked?).await };
        let page = request(doing, page).await?;
        let token = page.token().map(ToOwned::to_owned);
        all.extend(page.into_items());
        match token {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(all),
        }
    }
}
