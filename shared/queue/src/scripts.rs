//! The steps that must happen whole or not at all. Each is one Lua script over keys of one slot.

use std::sync::LazyLock;

use redis::Script;

/// About how many entries the dead stream keeps.
pub(crate) const DEAD_LIMIT: u32 = 10_000;

/// Makes the stream and its group.
pub(crate) static JOIN: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("scripts/join.lua")));
/// Acknowledges, hands back and buries entries.
pub(crate) static CONCLUDE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("scripts/conclude.lua")));
/// Takes over entries of dead consumers.
pub(crate) static RECLAIM: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("scripts/reclaim.lua")));
/// Counts a stream.
pub(crate) static DEPTH: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("scripts/depth.lua")));
/// Looks at the first entry that nobody has taken.
pub(crate) static LINE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("scripts/line.lua")));
/// Removes a consumer that stops.
pub(crate) static LEAVE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("scripts/leave.lua")));
/// Removes consumers that are long gone.
pub(crate) static SWEEP: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("scripts/sweep.lua")));
/// Takes from a bucket that fills with time.
pub(crate) static RATE_LIMIT: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("scripts/rate_limit.lua")));
/// Adds up what several processes let through.
pub(crate) static TURNSTILE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("scripts/turnstile.lua")));
/// Lets somebody through a gate.
pub(crate) static GATE_ENTER: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("scripts/gate_enter.lua")));
