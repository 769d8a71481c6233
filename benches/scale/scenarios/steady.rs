//! Counts the API requests of a minute without changes.

use std::time::Duration;

use super::{Setting, WHO, idle};

const MINUTE: Duration = Duration::from_mins(1);

pub(super) async fn measure(setting: &mut Setting) {
    idle(MINUTE).await;
    let controller = setting.controller_requests.now();
    let both = [controller, setting.server_requests.now()];
    for (who, seen) in WHO.into_iter().zip(both) {
        let upkeep: u32 = seen.upkeep.values().sum();
        let what = format!("Watches, lists and lease of the {who} in a minute at rest");
        setting.measured.note(what, "", upkeep.into());
        let what = format!("Other API requests of the {who} in a minute at rest");
        let work = seen.work.values().sum();
        setting.measured.must_be_zero(what, work);
    }
}
