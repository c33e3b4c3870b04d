//! The time that processes have computed, as the kernel counts it (proc(5)).

use std::time::Duration;

/// Ticks a second in which the kernel counts (`USER_HZ`).
const TICKS: u64 = 100;

/// How long this process has computed so far; no time if there is none.
pub(crate) fn computed_by(process: u32) -> Duration {
    Stat::of(process).map_or(Duration::ZERO, |stat| stat.own())
}

/// How long a process and all that it started itself have computed so far, those that have ended
/// too: PostgreSQL has a process for each connection.
pub(crate) fn computed_by_family(parent: u32) -> Duration {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let children = ids.filter_map(Stat::of).filter(|stat| stat.parent() == Some(parent));
    let ended = Stat::of(parent).map_or(Duration::ZERO, |stat| stat.own() + stat.ended_children());
    children.map(|child| child.own()).fold(ended, |sum, own| sum + own)
}

/// Who started a process.
pub(crate) fn parent_of(process: u32) -> Option<u32> {
    Stat::of(process)?.parent()
}

/// The fields of a process's `stat` that follow its name.
struct Stat {
    fields: Vec<String>,
}

impl Stat {
    fn of(process: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        // Names may have blanks; they end with the last bracket.
        let (_, fields) = stat.rsplit_once(") ")?;
        Some(Self { fields: fields.split_ascii_whitespace().map(str::to_owned).collect() })
    }

    fn parent(&self) -> Option<u32> {
        self.fields.get(1)?.parse().ok()
    }

    /// User and system time: the 14th and 15th field.
    fn own(&self) -> Duration {
        self.ticks(11)
    }

    /// The same of children that have ended.
    fn ended_children(&self) -> Duration {
        self.ticks(13)
    }

    fn ticks(&self, from: usize) -> Duration {
        let two = self.fields.iter().skip(from).take(2);
        let ticks: u64 = two.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
        Duration::from_millis(ticks.saturating_mul(1_000 / TICKS))
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn what_children_computed_counts_when_they_have_ended() {
        let here = std::process::id();
        let of_children = || {
            let own = computed_by(here);
            computed_by_family(here).saturating_sub(own)
        };
        let before = of_children();
        let spins = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done";
        assert!(Command::new("sh").args(["-c", spins]).status().unwrap().success());
        assert!(of_children() > before);
    }

    #[test]
    fn a_process_that_is_not_there_has_computed_nothing() {
        assert_eq!(computed_by(u32::MAX), Duration::ZERO);
        assert_eq!(parent_of(u32::MAX), None);
    }
}
