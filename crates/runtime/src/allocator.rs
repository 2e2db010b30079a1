//! The allocator of our programs.
//!
//! Many short-lived buffers among a few that stay, in many threads: under glibc's allocator a server's memory grew with every
//! document (ADR 0023). What C libraries allocate comes from it, too: it stands in for `malloc`.

use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;
