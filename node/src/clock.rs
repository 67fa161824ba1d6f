//! The one place where the shells read the clock. The cores take the instant as an argument.

use std::{io, time::Duration};

use chrono::{DateTime, SubsecRound, Utc};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::{io::unix::AsyncFd, time};

/// The current instant, to the microsecond, which is what the journal and the reconciler keep.
pub fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}

/// How long it is until an instant; nothing if it has passed.
pub fn until(instant: DateTime<Utc>, now: DateTime<Utc>) -> Duration {
    (instant - now).to_std().unwrap_or_default()
}

/// Sleeps until an instant of the clock on the wall, however the clock is set or the host sleeps meanwhile.
/// Cancel-safe: it holds nothing.
pub async fn sleep_until(instant: DateTime<Utc>) {
    while now() < instant {
        wake_at(instant).await;
    }
}

/// Sleeps until an instant, or until the clock is set: then everything is to be looked at anew.
pub async fn wake_at(instant: DateTime<Utc>) {
    /// Where the kernel has no such timer, the clock may be set without anybody noticing for so long.
    const LONGEST_SLEEP: Duration = Duration::from_secs(60);
    if alarm(instant).await.is_err() {
        time::sleep(until(instant, now()).min(LONGEST_SLEEP)).await;
    }
}

/// A timer of the wall clock, to the microsecond; tokio's has milliseconds, and does not know when the clock is
/// set (timerfd_create(2)).
async fn alarm(instant: DateTime<Utc>) -> io::Result<()> {
    if instant <= now() {
        return Ok(());
    }
    let timer = timerfd_create(TimerfdClockId::Realtime, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
    let once = Itimerspec {
        it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
        it_value: Timespec { tv_sec: instant.timestamp(), tv_nsec: instant.timestamp_subsec_nanos().into() },
    };
    timerfd_settime(&timer, TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET, &once)?;
    #[expect(deprecated, reason = "unsound only for what does not own its descriptor, and this does")]
    let timer = AsyncFd::new(timer)?;
    let _ = timer.readable().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[tokio::test]
    async fn a_sleep_ends_at_its_instant_and_not_before() {
        let begun = now();
        sleep_until(begun - TimeDelta::seconds(1)).await;
        let instant = now() + TimeDelta::milliseconds(30);
        sleep_until(instant).await;
        assert!(now() >= instant);
    }
}
