//! The explored worlds, and how objects and times are numbered in them.

use apikey_api::Delivery;
use apikey_credential::record::PENDING_MAX_AGE;
use apikey_operator::controller::apikey::execute::DELIVER_WITHIN;
use k8s_openapi::jiff::Timestamp;

/// The number of an `ApiKey` among those that have had the name, from 1.
pub(crate) type Uid = u8;
/// All uids.
pub(crate) const UIDS: [Uid; 2] = [1, 2];
/// The number of a secret, from 1, in the order of minting.
pub(crate) type SecretNumber = u8;
/// Seconds since the first key was made.
pub(crate) type Seconds = u32;

/// The creation time of the first key.
const START: i64 = 1_800_000_000;

/// The parameters of an explored world.
#[derive(Clone, Copy, Debug)]
pub(crate) struct World {
    pub(crate) delivery: Delivery,
    pub(crate) overlap_seconds: u32,
    /// Moments at which something may happen. At the last one the key has expired.
    pub(crate) moments: &'static [Seconds],
    /// The number of controllers, 1 or 2.
    pub(crate) controllers: usize,
    /// The number of edits that users make.
    pub(crate) edits: u8,
    /// The number of faults.
    pub(crate) faults: u8,
    /// The maximum number of secrets. A controller with a stale cache mints a secret for a deleted key without a
    /// status each time that the other one sweeps its credential record.
    pub(crate) secrets: usize,
}

impl World {
    pub(crate) fn expiry(&self) -> Seconds {
        *self.moments.last().unwrap()
    }

    /// Whether the time to the next moment is longer than any outage or run of a controller. Then every run has
    /// ended before it.
    pub(crate) fn is_long(&self, moment: usize) -> bool {
        self.moments[moment + 1] - self.moments[moment] > 900
    }

    /// Whether the clock may be set back to the previous moment. The operator tolerates that if the step is
    /// shorter than the time between the last delivery of a secret and the first removal of its proof.
    pub(crate) fn can_be_set_back(&self, moment: usize) -> bool {
        let margin = PENDING_MAX_AGE - DELIVER_WITHIN;
        let back = |to: Seconds| timestamp(self.moments[moment]).duration_since(timestamp(to));
        moment > 0 && back(self.moments[moment - 1]) < margin
    }
}

pub(crate) fn timestamp(seconds: Seconds) -> Timestamp {
    Timestamp::from_second(START + i64::from(seconds)).unwrap()
}

/// Rounds down. A time before the start becomes the start.
pub(crate) fn seconds(timestamp: Timestamp) -> Seconds {
    Seconds::try_from(timestamp.as_second() - START).unwrap_or_default()
}
