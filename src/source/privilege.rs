//! What the kernel asks of whoever traces: which capability is missing.

/// A capability that tracing needs, by its bit in `/proc/self/status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Capability {
    bit: u32,
    name: &'static str,
}

/// Stands for both of the others, and for perf_event_paranoid 3.
const SYS_ADMIN: Capability = Capability {
    bit: 21,
    name: "CAP_SYS_ADMIN",
};
/// To load programs and make maps.
const BPF: Capability = Capability {
    bit: 39,
    name: "CAP_BPF",
};
/// To read kernel memory from programs and to open perf events.
const PERFMON: Capability = Capability {
    bit: 38,
    name: "CAP_PERFMON",
};

/// The effective set in the text of `/proc/self/status`.
pub fn effective(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|l| l.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

/// Whether the set holds CAP_SYS_ADMIN, which stands for the others.
pub fn is_admin(effective: u64) -> bool {
    effective >> SYS_ADMIN.bit & 1 == 1
}

/// Names of the capabilities that are missing from the set; empty if none is.
pub fn missing(effective: u64) -> Vec<&'static str> {
    let has = |capability: &Capability| effective >> capability.bit & 1 == 1;
    if is_admin(effective) {
        return Vec::new();
    }
    [BPF, PERFMON]
        .iter()
        .filter(|capability| !has(capability))
        .map(|capability| capability.name)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        let status = "Name:\tx\nCapInh:\t0000000000000000\nCapEff:\t000001fffeffffff\n";
        assert_eq!(effective(status), Some(0x01ff_feff_ffff));
        assert_eq!(effective("Name:\tx\n"), None);
        assert!(missing(1 << 21).is_empty());
        assert!(missing(1 << 38 | 1 << 39).is_empty());
        assert_eq!(missing(1 << 39), ["CAP_PERFMON"]);
        assert_eq!(missing(0), ["CAP_BPF", "CAP_PERFMON"]);
    }
}
