//! Service goals: what the daemon promises about itself, with the current value and a verdict.

use serde::{Deserialize, Serialize};

/// Which promise. The serialized names are the values of the label `slo` of `slo_target`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GoalId {
    /// Seconds from process start to ready.
    Startup,
    /// Resident bytes with nothing to do.
    MemoryBase,
    /// Resident bytes under load.
    MemoryLoad,
    /// 95th percentile of a reconcile over the last 5 minutes, seconds.
    Reconcile,
    /// Seconds to collect and decide.
    Scaling,
    /// Share of cacheable reads that the cache answered over the last 5 minutes, 0..1.
    HitRate,
    /// Requests per second towards the API server, mean of 5 minutes.
    ApiRate,
}

/// Unit of a goal's target and value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// A share between 0 and 1.
    Ratio,
    /// A rate.
    PerSecond,
}

/// What the value means for the goal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// Met.
    Ok,
    /// Not met.
    Broken,
    /// Nothing was measured (yet), so nothing can be said.
    Unknown,
}

/// One goal with its state now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Goal {
    /// Which promise.
    pub goal: GoalId,
    /// Unit of target and value.
    pub unit: Unit,
    /// The bound: an upper one, but for `hit_rate`, where more is better.
    pub target: f64,
    /// The value now; absent when nothing was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// Met, broken or unknown.
    pub verdict: Verdict,
}

impl GoalId {
    /// Goals whose systems exist in this version, in the order in which people see them.
    pub const ALL: [Self; 6] = [
        Self::Startup,
        Self::MemoryBase,
        Self::MemoryLoad,
        Self::Reconcile,
        Self::HitRate,
        Self::ApiRate,
    ];

    /// The value of the label `slo`, and the JSON name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Startup => "startup",
            Self::MemoryBase => "memory_base",
            Self::MemoryLoad => "memory_load",
            Self::Reconcile => "reconcile",
            Self::Scaling => "scaling",
            Self::HitRate => "hit_rate",
            Self::ApiRate => "api_rate",
        }
    }

    /// Unit and bound: the limits of the seed, which every version keeps.
    pub fn target(self) -> (Unit, f64) {
        match self {
            Self::Startup => (Unit::Seconds, 30.0),
            Self::MemoryBase => (Unit::Bytes, 100e6),
            Self::MemoryLoad => (Unit::Bytes, 500e6),
            Self::Reconcile => (Unit::Seconds, 5.0),
            Self::Scaling => (Unit::Seconds, 30.0),
            Self::HitRate => (Unit::Ratio, 0.8),
            Self::ApiRate => (Unit::PerSecond, 100.0),
        }
    }

    /// Judges a value. More is better for the hit rate, less for everything else.
    pub fn judge(self, value: Option<f64>) -> Goal {
        let (unit, target) = self.target();
        let verdict = match value {
            None => Verdict::Unknown,
            Some(value) if value.is_nan() => Verdict::Unknown,
            Some(value) if self == Self::HitRate && value >= target => Verdict::Ok,
            Some(value) if self != Self::HitRate && value <= target => Verdict::Ok,
            Some(_) => Verdict::Broken,
        };
        Goal {
            goal: self,
            unit,
            target,
            value: value.filter(|value| value.is_finite()),
            verdict,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_measured_is_unknown_not_met() {
        assert_eq!(GoalId::HitRate.judge(None).verdict, Verdict::Unknown);
        assert_eq!(GoalId::Reconcile.judge(Some(f64::NAN)).verdict, Verdict::Unknown);
    }

    #[test]
    fn the_hit_rate_is_the_one_goal_where_more_is_better() {
        assert_eq!(GoalId::HitRate.judge(Some(0.9)).verdict, Verdict::Ok);
        assert_eq!(GoalId::HitRate.judge(Some(0.5)).verdict, Verdict::Broken);
        assert_eq!(GoalId::ApiRate.judge(Some(0.5)).verdict, Verdict::Ok);
        assert_eq!(GoalId::ApiRate.judge(Some(101.0)).verdict, Verdict::Broken);
    }
}
