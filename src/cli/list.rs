//! `list`: keys as a table, with what is about to expire or not used.

use clap::{Args, ValueEnum};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::ListParams;
use serde_json::json;

use super::exit::Failure;
use super::format::Machine;
use super::invocation::Invocation;
use super::select::Listed;
use super::table::{self, Cell};
use super::terminal::BAD;
use super::{key, select, time};
use crate::api::{ApiKey, Phase};
use crate::object::Identity;

/// List keys, with their expiry and last use.
#[derive(Args, Debug)]
#[command(visible_alias = "ls", after_help = EXAMPLES)]
pub(super) struct List {
    /// Keys of all namespaces.
    #[arg(short = 'A', long)]
    all_namespaces: bool,

    /// Label selector, for example `team=web,tier!=dev`.
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    selector: Option<String>,

    /// Only keys of this organization.
    #[arg(long, value_name = "ORG")]
    org: Option<String>,

    /// Only keys that expire within this time, and have not yet.
    #[arg(long, value_name = "DURATION", value_parser = time::duration)]
    expiring: Option<SignedDuration>,

    /// Only keys that were created longer ago than this and not used since.
    #[arg(long, value_name = "DURATION", value_parser = time::duration)]
    unused: Option<SignedDuration>,

    /// Order.
    #[arg(long, value_name = "COLUMN", default_value = "name")]
    sort_by: Order,

    /// Form: `wide` has more columns; the others are for programs.
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
  Keys of the namespace:
    kubectl apikey list

  What expires in the next 30 days, anywhere, soonest first:
    kubectl apikey list -A --expiring 30d --sort-by expires

  Keys of one organization that nobody used for 90 days, to revoke after a look:
    kubectl apikey list --org acme --unused 90d -o name

LAST-USED is exact to 10 minutes; `<none>` is a key that was never used.";

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
    let Listed {
        objects,
        unreadable,
    } = select::list(api, "list ApiKeys", params).await?;
    for key in &unreadable {
        call.terminal.warn(select::unreadable(key).message());
    }
    let mut keys = objects;
    keys.retain(|key| wanted(key, flags, now));
    sort(&mut keys, flags.sort_by);
    match flags.output {
        Some(Form::Json) => call.terminal.print(Machine::Json.render(&as_list(&keys))?),
        Some(Form::Yaml) => call.terminal.print(Machine::Yaml.render(&as_list(&keys))?),
        _ if keys.is_empty() && unreadable.is_empty() => {
            call.terminal.note(if flags.all_namespaces {
                "No resources found".to_owned()
            } else {
                format!("No resources found in {} namespace.", cluster.namespace)
            });
            Ok(())
        }
        Some(Form::Name) => {
            let names = keys.iter().map(|k| format!("apikey/{}", key::name(k)));
            let names: Vec<_> = names.collect();
            call.terminal.print(names.join("\n"))
        }
        form @ (None | Some(Form::Wide)) => {
            let wide = form == Some(Form::Wide);
            call.terminal
                .print(table(&keys, &unreadable, (flags.all_namespaces, wide), now))
        }
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

fn sort(keys: &mut [ApiKey], order: Order) {
    let by_name = |a: &ApiKey, b: &ApiKey| {
        (key::namespace(a), key::name(a)).cmp(&(key::namespace(b), key::name(b)))
    };
    keys.sort_by(|a, b| {
        let by_time = |time: fn(&ApiKey) -> Option<Timestamp>| {
            let of = |key| time(key).map_or(i64::MAX, Timestamp::as_second);
            of(a).cmp(&of(b))
        };
        let first = match order {
            Order::Name => std::cmp::Ordering::Equal,
            Order::Expires => by_time(key::expires_at),
            Order::LastUsed => by_time(key::last_used),
            Order::Age => by_time(key::created),
        };
        first.then_with(|| by_name(a, b))
    });
}

fn as_list(keys: &[ApiKey]) -> serde_json::Value {
    json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": keys})
}

fn table(
    keys: &[ApiKey],
    unreadable: &[Identity],
    (with_namespace, wide): (bool, bool),
    now: Timestamp,
) -> String {
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
        .map(|key| {
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
    rows.extend(unreadable.iter().map(|key| {
        let mut cells: Vec<Cell> = vec![
            (&*key.name).into(),
            "".into(),
            Cell::new(BAD, "Unreadable"),
            "".into(),
            "".into(),
            "Unknown".into(),
            "".into(),
        ];
        if with_namespace {
            cells.insert(0, key.namespace.as_deref().unwrap_or_default().into());
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
