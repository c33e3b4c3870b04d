//! What the kernel knows of this process, in Prometheus' text format and under its usual names.
//!
//! Read when somebody asks, and written here rather than recorded: a counter of seconds has fractions.

use std::fmt::Write;
use std::fs;
use std::time::Duration;

/// Where this process's control group, version 2, keeps its limits, as seen from within a container.
const MEMORY_LIMIT: &str = "/sys/fs/cgroup/memory.max";

const KIB: u64 = 1024;

/// A tick of a processor; Linux tells programs this, whatever it counts in itself.
const TICK_MS: u64 = 10;

/// What is known now. What cannot be read is left out.
pub(super) fn render() -> String {
    let mut text = String::new();
    if let Some(stat) = fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(Stat::parse)
    {
        show(&mut text, "process_cpu_seconds_total", ticks(stat.cpu_ticks).as_secs_f64());
        if let Some(boot) = number_after("/proc/stat", "btime") {
            let start = Duration::from_secs(boot).saturating_add(ticks(stat.start_ticks));
            show(&mut text, "process_start_time_seconds", start.as_secs_f64());
        }
    }
    let resident = number_after("/proc/self/status", "VmRSS:").map(|kib| kib.saturating_mul(KIB));
    let files =
        fs::read_dir("/proc/self/fd").ok().and_then(|open| u64::try_from(open.count()).ok());
    let most_files = number_after("/proc/self/limits", "Max open files");
    let cores = std::thread::available_parallelism().ok();
    for (name, value) in [
        ("process_resident_memory_bytes", resident),
        ("process_memory_limit_bytes", memory_limit()),
        ("process_open_fds", files),
        ("process_max_fds", most_files),
        ("process_cpu_limit_cores", cores.and_then(|cores| u64::try_from(cores.get()).ok())),
    ] {
        if let Some(value) = value {
            show(&mut text, name, whole(value));
        }
    }
    text
}

fn show(text: &mut String, name: &str, value: f64) {
    let (kind, help) = match name {
        "process_cpu_seconds_total" => ("counter", "Time of processors used, in seconds"),
        "process_start_time_seconds" => ("gauge", "When the process was started, in Unix time"),
        "process_resident_memory_bytes" => ("gauge", "Memory that the process holds"),
        "process_memory_limit_bytes" => ("gauge", "Memory that the process may hold"),
        "process_open_fds" => ("gauge", "Files and connections that are open"),
        "process_max_fds" => ("gauge", "Files and connections that may be open at once"),
        _ => ("gauge", "Processors that the process may use at once"),
    };
    // Writing to text does not fail.
    let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n\n");
}

fn ticks(count: u64) -> Duration {
    Duration::from_millis(count.saturating_mul(TICK_MS))
}

/// A gauge is a picture for people: it need not tell the last byte of petabytes.
fn whole(number: u64) -> f64 {
    number as f64
}

/// The control group's limit, or what the machine has where there is none.
fn memory_limit() -> Option<u64> {
    let machine = number_after("/proc/meminfo", "MemTotal:").map(|kib| kib.saturating_mul(KIB))?;
    let group = fs::read_to_string(MEMORY_LIMIT).ok().and_then(|text| text.trim().parse().ok());
    Some(group.map_or(machine, |group: u64| group.min(machine)))
}

/// The first number in the line of a file that begins so.
fn number_after(file: &str, beginning: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let rest = text.lines().find_map(|line| line.strip_prefix(beginning))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// What of `/proc/self/stat` is told.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    /// In user mode and in the kernel together.
    cpu_ticks: u64,
    /// Since the machine was started.
    start_ticks: u64,
}

impl Stat {
    /// The program's name, in brackets, may hold anything: what follows the last bracket counts.
    fn parse(text: &str) -> Option<Self> {
        let (_, rest) = text.rsplit_once(')')?;
        // The first of these is the third field of the line: the state.
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
        let cpu_ticks = number(11)?.saturating_add(number(12)?);
        Some(Self { cpu_ticks, start_ticks: number(19)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_programs_name_changes_nothing() {
        let line = "7 (a) b (c)) S 1 7 7 0 -1 4194304 9 0 0 0 150 25 0 0 20 0 9 0 777 1 2";
        assert_eq!(Stat::parse(line), Some(Stat { cpu_ticks: 175, start_ticks: 777 }));
        assert_eq!(Stat::parse("7 (a"), None);
        assert_eq!(Stat::parse("7 (a) S 1"), None);
    }

    #[test]
    fn this_process_is_alive_within_its_limits() {
        let text = render();
        let value = |name: &str| -> f64 {
            let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
            line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
        };
        let resident = value("process_resident_memory_bytes");
        assert!(resident > 0.0 && resident < value("process_memory_limit_bytes"), "{text}");
        let open = value("process_open_fds");
        assert!(open >= 1.0 && open <= value("process_max_fds"), "{text}");
        assert!(value("process_cpu_limit_cores") >= 1.0);
        assert!(value("process_cpu_seconds_total") >= 0.0);
        let year_2020 = 1_577_836_800.0;
        assert!(value("process_start_time_seconds") > year_2020, "{text}");
    }
}
