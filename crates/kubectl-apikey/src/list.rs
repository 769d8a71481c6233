//! `list`: prints keys as a table, with their expiry and last use.

use std::cmp::Ordering;

use clap::{Args, ValueEnum};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::ListParams;
use kube::core::Request;
use serde_json::json;

use super::exit::Failure;
use super::format::{self, Machine};
use super::invocation::Invocation;
use super::pages::Unread;
use super::table::{self, Cell};
use super::terminal::BAD;
use super::text::Text;
use super::{key, organization, pages, select, time};
use apikey_api::{ApiKey, Phase};
use apikey_client::object::{Sent, Stored, Unreadable, Whole};

/// List keys with their expiry and last use.
///
/// Keys that can't be read come last, as `Unreadable`, and standard error shows why. Whether they expire or
/// are used is unknown. With --expiring or --unused, tables include them, and the other formats omit them, so
/// that no program treats them as unused.
#[derive(Args, Debug)]
#[command(visible_alias = "ls", after_help = EXAMPLES)]
pub(super) struct List {
    /// List the keys of all namespaces.
    #[arg(short = 'A', long)]
    all_namespaces: bool,

    /// Label selector, for example `team=web,tier!=dev`.
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    selector: Option<String>,

    /// Only keys of this organization.
    #[arg(long, value_name = "ORG")]
    org: Option<String>,

    /// Only keys that expire within this time and have not expired yet.
    #[arg(long, value_name = "DURATION", value_parser = time::duration)]
    expiring: Option<SignedDuration>,

    /// Only keys that are older than this and have not been used within this time.
    #[arg(long, value_name = "DURATION", value_parser = time::duration)]
    unused: Option<SignedDuration>,

    /// Sort order.
    #[arg(long, value_name = "COLUMN", default_value = "name")]
    sort_by: Order,

    /// Output format. `wide` has more columns; the others are for programs. `json` and `yaml` have each key
    /// as the API server sent it, without `managedFields`.
    #[arg(short, long, value_name = "FORM")]
    output: Option<Form>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Order {
    Name,
    Expires,
    LastUsed,
    Age,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    Wide,
    Json,
    Yaml,
    Name,
}

const EXAMPLES: &str = "\
Examples:
  List the keys of the namespace:
    kubectl apikey list

  List keys in all namespaces that expire in the next 30 days, soonest first:
    kubectl apikey list -A --expiring 30d --sort-by expires

  List keys of one organization that were not used for 90 days:
    kubectl apikey list --org acme --unused 90d -o name

LAST-USED is accurate to 10 minutes; `<none>` is a key that was never used.";

pub(super) async fn run(flags: &List, call: &mut Invocation) -> Result<(), Failure> {
    let cluster = call.cluster().await?;
    let api = if flags.all_namespaces {
        cluster.all_keys()
    } else {
        cluster.keys()
    };
    let mut params = ListParams::default();
    params.label_selector.clone_from(&flags.selector);
    params.field_selector = flags.org.as_deref().map(select::of_organization);
    let now = call.clock.now();
    let target = Request::new(api.resource_url());
    let found = pages::all(api.into_client(), target, "list ApiKeys", params).await?;
    let (mut keys, mut unreadable) = split(found)?;
    keys.retain(|(key, _)| wanted(key, flags, now));
    keys.sort_by(|(a, _), (b, _)| flags.sort_by.compare(a, b));
    let is_table = matches!(flags.output, None | Some(Form::Wide));
    warn_of_unreadable(&unreadable, flags, is_table, call);
    if flags.is_filtered() && !is_table {
        unreadable.clear();
    }
    match flags.output {
        Some(Form::Json) => {
            let list = as_list(&keys, &unreadable)?;
            call.terminal.exact(&Machine::Json.render(&list)?)
        }
        Some(Form::Yaml) => {
            let list = as_list(&keys, &unreadable)?;
            call.terminal.exact(&Machine::Yaml.render(&list)?)
        }
        _ if keys.is_empty() && unreadable.is_empty() => {
            if let Some(org) = &flags.org
                && let Ok(None) = organization::find(&cluster, org).await
            {
                let why = organization::missing(&cluster, org).await;
                call.terminal.warn(why);
            }
            call.terminal.note(if flags.all_namespaces {
                "No resources found".to_owned()
            } else {
                format!("No resources found in {} namespace.", cluster.namespace)
            });
            Ok(())
        }
        Some(Form::Name) => {
            let read = keys.iter().map(|(key, _)| key::name(key));
            let others = unreadable.iter().map(|(key, _)| &*key.identity.name);
            let names = read.chain(others).map(|name| format!("apikey/{name}"));
            let names: Vec<_> = names.collect();
            call.terminal.exact(&names.join("\n"))
        }
        form @ (None | Some(Form::Wide)) => {
            let wide = form == Some(Form::Wide);
            call.terminal
                .print(table(&keys, &unreadable, (flags.all_namespaces, wide), now))
        }
    }
}

/// Keys that can be read, and keys that can't.
type Split = (Vec<(ApiKey, Whole)>, Vec<(Unread, Whole)>);

fn split(all: Vec<Stored<Sent<Result<ApiKey, Unreadable>>>>) -> Result<Split, Failure> {
    let (mut keys, mut unreadable) = (Vec::new(), Vec::new());
    for stored in all {
        let identity = stored.identity.clone();
        let Sent { object, whole } = select::readable(stored)?;
        match object {
            Ok(key) => keys.push((key, whole)),
            Err(why) => unreadable.push((Unread { identity, why }, whole)),
        }
    }
    Ok((keys, unreadable))
}

/// Reports which keys can't be read and how that affects the filters.
fn warn_of_unreadable(
    unreadable: &[(Unread, Whole)],
    flags: &List,
    is_table: bool,
    call: &mut Invocation,
) {
    for (key, _) in unreadable {
        call.terminal.warn(pages::unreadable(key).message());
    }
    if flags.is_filtered() && !unreadable.is_empty() {
        let what = if is_table { "shown" } else { "left out" };
        call.terminal.warn(format!(
            "expiry and last use of keys that can't be read are not known: {} of them {what}",
            unreadable.len()
        ));
    }
}

impl List {
    /// Whether a filter needs fields that are known only for readable keys.
    fn is_filtered(&self) -> bool {
        self.expiring.is_some() || self.unused.is_some()
    }
}

fn wanted(key: &ApiKey, flags: &List, now: Timestamp) -> bool {
    let expiring = flags.expiring.is_none_or(|within| {
        let phase = key.status.as_ref().and_then(|status| status.phase);
        let soon = |expiry: Timestamp| expiry > now && expiry.duration_since(now) <= within;
        phase != Some(Phase::Expired) && key::expires_at(key).is_some_and(soon)
    });
    let unused = flags.unused.is_none_or(|for_so_long| {
        let longer_ago = |time: Timestamp| now.duration_since(time) > for_so_long;
        key::created(key).is_some_and(longer_ago) && key::last_used(key).is_none_or(longer_ago)
    });
    expiring && unused
}

impl Order {
    fn compare(self, a: &ApiKey, b: &ApiKey) -> Ordering {
        let by_time = |time: fn(&ApiKey) -> Option<Timestamp>| {
            let of = |key| time(key).map_or(i64::MAX, Timestamp::as_second);
            of(a).cmp(&of(b))
        };
        let first = match self {
            Self::Name => Ordering::Equal,
            Self::Expires => by_time(key::expires_at),
            Self::LastUsed => by_time(key::last_used),
            Self::Age => by_time(key::created),
        };
        let name = |key| (key::namespace(key), key::name(key));
        first.then_with(|| name(a).cmp(&name(b)))
    }
}

fn as_list(
    keys: &[(ApiKey, Whole)],
    unreadable: &[(Unread, Whole)],
) -> Result<serde_json::Value, Failure> {
    let read = keys.iter().map(|(_, whole)| whole);
    let all = read.chain(unreadable.iter().map(|(_, whole)| whole));
    let items: Vec<_> = all.map(format::sent).collect::<Result<_, _>>()?;
    Ok(json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": items}))
}

fn table(
    keys: &[(ApiKey, Whole)],
    unreadable: &[(Unread, Whole)],
    (with_namespace, wide): (bool, bool),
    now: Timestamp,
) -> Text {
    let mut head = vec![
        "NAME",
        "ORG",
        "STATUS",
        "EXPIRES",
        "LAST-USED",
        "READY",
        "AGE",
    ];
    if with_namespace {
        head.insert(0, "NAMESPACE");
    }
    if wide {
        head.extend(["ROLES", "EMAIL", "SECRET", "REASON"]);
    }
    let mut rows: Vec<_> = keys
        .iter()
        .map(|(key, _)| {
            let mut cells = row(key, now);
            if with_namespace {
                cells.insert(0, key::namespace(key).into());
            }
            if wide {
                cells.extend(more(key));
            }
            cells
        })
        .collect();
    rows.extend(unreadable.iter().map(|(Unread { identity, .. }, _)| {
        let mut cells: Vec<Cell> = vec![
            (&*identity.name).into(),
            "".into(),
            Cell::new(BAD, "Unreadable"),
            "".into(),
            "".into(),
            "Unknown".into(),
            "".into(),
        ];
        if with_namespace {
            cells.insert(0, identity.namespace.as_deref().unwrap_or_default().into());
        }
        cells.resize_with(head.len(), || "".into());
        cells
    }));
    table::render(&head, &rows)
}

fn row(key: &ApiKey, now: Timestamp) -> Vec<Cell> {
    let (phase, style) = key::phase(key);
    let ready = key::ready(key).map_or("Unknown", |ready| ready.status.as_str());
    let relative = |time| time::relative(time, now);
    vec![
        key::name(key).into(),
        key.spec.org.as_str().into(),
        Cell::new(style, phase),
        key::expires_at(key)
            .map(relative)
            .unwrap_or_default()
            .into(),
        key::last_used(key).map(relative).unwrap_or_default().into(),
        Cell::new(key::truth(ready), ready),
        key::created(key)
            .map(|time| time::age(time, now))
            .unwrap_or_default()
            .into(),
    ]
}

fn more(key: &ApiKey) -> [Cell; 4] {
    let status = key.status.clone().unwrap_or_default();
    [
        key.spec.roles.join(",").into(),
        status.email.unwrap_or_default().into(),
        status.secret_name.unwrap_or_default().into(),
        key::ready(key)
            .map(|ready| ready.reason.clone())
            .unwrap_or_default()
            .into(),
    ]
}
