//! What the child takes from itself before it meets a file.
//!
//! The resource limits always hold. The rest is taken where the kernel allows it, and reported; each of the three would be
//! enough to keep a taken-over child off the network or out of the file system.

use std::path::Path;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset,
    RulesetAttr as _, RulesetCreatedAttr as _, RulesetStatus, Scope,
};
use nix::{
    errno::Errno,
    libc,
    sched::{CloneFlags, unshare},
    sys::{
        prctl::{set_no_new_privs, set_pdeathsig},
        resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit},
        signal::Signal,
        time::TimeValLike as _,
    },
    unistd::getppid,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

/// Limits memory, open files, files' size and core dumps.
pub(super) fn limit_resources(memory_bytes: u64) -> nix::Result<()> {
    // Room for the document, a font or two at a time, and libraries while they load.
    const OPEN_FILES: u64 = 32;
    // Resident memory is part of the address space, so it cannot be more either.
    setrlimit(Resource::RLIMIT_AS, memory_bytes, memory_bytes)?;
    setrlimit(Resource::RLIMIT_NOFILE, OPEN_FILES, OPEN_FILES)?;
    setrlimit(Resource::RLIMIT_FSIZE, 0, 0)?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0)
}

/// Allows this many more seconds of computing. The kernel sends SIGXCPU when they are used up.
pub(super) fn limit_cpu_time(seconds: u64) -> nix::Result<()> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let used = usage.user_time().num_seconds() + usage.system_time().num_seconds();
    let (_, hard) = getrlimit(Resource::RLIMIT_CPU)?;
    setrlimit(Resource::RLIMIT_CPU, (u64::try_from(used).unwrap_or(0) + seconds + 1).min(hard), hard)
}

/// Moves to a network namespace without interfaces. Needs user namespaces, or root.
pub(super) fn leave_network() -> bool {
    // In this order, because a change of credentials makes the kernel forget the signal of `die_with`.
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWIPC).is_ok()
        || unshare(CloneFlags::CLONE_NEWNET).is_ok()
}

/// Has the kernel kill this process when the thread that started it ends.
pub(super) fn die_with(parent: i32) -> Result<(), String> {
    set_no_new_privs().map_err(|error| format!("privileges cannot be given up: {error}"))?;
    set_pdeathsig(Signal::SIGKILL).map_err(|error| format!("the parent's death cannot be watched: {error}"))?;
    // The parent may have died before the line above.
    if getppid().as_raw() == parent { Ok(()) } else { Err("the parent is gone".into()) }
}

/// Gives up the file system, but for reading the system's fonts; the network and signals to others too, where the kernel
/// knows how.
pub(super) fn leave_file_system() -> bool {
    const FONTS: [&str; 5] = [
        "/usr/share/fonts",
        "/usr/share/X11/fonts/Type1",
        "/usr/share/X11/fonts/TTF",
        "/usr/local/share/fonts",
        "/etc/fonts",
    ];
    let abi = ABI::V6;
    let restrict = || -> Result<RulesetStatus, landlock::RulesetError> {
        let mut rules = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(abi))?
            .handle_access(AccessNet::from_all(abi))?
            .scope(Scope::from_all(abi))?
            .create()?;
        for directory in FONTS.iter().map(Path::new).filter(|path| path.is_dir()) {
            if let Ok(fd) = PathFd::new(directory) {
                rules = rules.add_rule(PathBeneath::new(fd, AccessFs::ReadFile | AccessFs::ReadDir))?;
            }
        }
        Ok(rules.restrict_self()?.ruleset)
    };
    matches!(restrict(), Ok(RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced))
}

/// Refuses (EPERM) every system call that reading a PDF does not need.
pub(super) fn refuse_system_calls() -> bool {
    let own_limits = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, 0)
        .and_then(|condition| SeccompRule::new(vec![condition]));
    let Ok(own_limits) = own_limits else { return false };
    let rules = ALLOWED
        .iter()
        .map(|call| (*call, Vec::new()))
        // The limits of this process, not those of others.
        .chain([(libc::SYS_prlimit64, vec![own_limits])])
        .collect();
    let refused = SeccompAction::Errno(Errno::EPERM as u32);
    let Ok(architecture) = TargetArch::try_from(std::env::consts::ARCH) else { return false };
    SeccompFilter::new(rules, refused, SeccompAction::Allow, architecture)
        .and_then(BpfProgram::try_from)
        .is_ok_and(|program| seccompiler::apply_filter(&program).is_ok())
}

/// Memory, time, signals of its own, files that are open already or that Landlock lets it open, and the end.
const ALLOWED: &[libc::c_long] = &[
    libc::SYS_brk,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_read,
    libc::SYS_pread64,
    libc::SYS_readv,
    libc::SYS_preadv,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_lseek,
    libc::SYS_close,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_openat,
    libc::SYS_getdents64,
    libc::SYS_faccessat,
    libc::SYS_readlinkat,
    libc::SYS_fcntl,
    libc::SYS_recvmsg,
    libc::SYS_recvfrom,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_ppoll,
    libc::SYS_futex,
    libc::SYS_getrandom,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_getrusage,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_getppid,
    libc::SYS_tgkill,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_open,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_stat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_access,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_readlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
];
