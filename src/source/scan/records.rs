//! The records that the scan makes, as the kernel side would have.

use super::Candidate;
use crate::skel::types::{xl_attach, xl_exec, xl_flags, xl_header, xl_kind, xl_tracked_flags};
use crate::wire;

/// Its process was adopted in an exec: what ran before is gone, and what runs now tells.
pub(super) fn append_in_exec(mut record: xl_exec, out: &mut Vec<u8>) {
    record.header.flags = xl_flags::XL_F_TAKEN_MIDWAY.0 as u16;
    out.extend_from_slice(wire::as_bytes(&record));
}

pub(super) fn append_record(mut record: xl_exec, candidate: &Candidate, out: &mut Vec<u8>) {
    record.header.bytes += candidate.args.len() as u32;
    record.args_bytes = candidate.true_bytes;
    let elsewhere = candidate.flags & xl_tracked_flags::XL_T_ELSEWHERE.0 != 0;
    let flags = [
        (candidate.fault, xl_flags::XL_F_ARGS_FAULT),
        (elsewhere, xl_flags::XL_F_ELSEWHERE),
    ];
    let flags = flags.iter().filter(|(is_set, _)| *is_set);
    record.header.flags = flags.fold(0, |all, (_, flag)| all | flag.0 as u16);
    out.extend_from_slice(wire::as_bytes(&record));
    out.extend_from_slice(&candidate.args);
}

/// A runtime that ran before has put a child into its container: as if that were seen now.
pub(super) fn append_attach(runtime: &xl_exec, child: &xl_exec, out: &mut Vec<u8>) {
    let attach = xl_attach {
        header: xl_header {
            bytes: size_of::<xl_attach>() as u32,
            kind: xl_kind::XL_ATTACH.0 as u16,
            flags: xl_flags::XL_F_IN_CGROUP.0 as u16,
            // After the record of the runtime itself.
            ts_ns: runtime.header.ts_ns + 1,
            start_ns: child.header.start_ns,
            tgid: child.header.tgid,
            seq: 0,
        },
        by_start_ns: runtime.header.start_ns,
        cgroup_id: child.cgroup_id,
        by_tgid: runtime.header.tgid,
        pad: 0,
    };
    out.extend_from_slice(wire::as_bytes(&attach));
}
