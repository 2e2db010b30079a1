//! A brake on guessing keys: failed authentications per peer address.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher as _, RandomState},
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Addresses remembered at the most.
const MAX_PEERS: usize = 4096;
/// Keys remembered as good at the most.
const MAX_GOOD: usize = 1024;

/// Counts failed authentications. A peer with too many is refused unless it comes with a key that was good lately:
/// behind a proxy or a NAT, one guesser must not lock everybody else out.
pub(super) struct FailedLogins {
    per_minute: u32,
    hasher: RandomState,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    peers: HashMap<IpAddr, Failures>,
    /// Keyed hashes of secrets that were good, oldest first.
    good: VecDeque<u64>,
}

/// A bucket that empties by `per_minute` a minute.
struct Failures {
    level: f64,
    at: Instant,
}

impl FailedLogins {
    /// `per_minute` 0: no limit.
    pub(super) fn new(per_minute: u32) -> Self {
        Self { per_minute, hasher: RandomState::new(), state: Mutex::new(State::default()) }
    }

    /// How long this peer has to wait before it may try this secret; none if it may now.
    pub(super) fn wait(&self, peer: IpAddr, secret: &str) -> Option<Duration> {
        if self.per_minute == 0 {
            return None;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let limit = f64::from(self.per_minute);
        let level = state.peers.get_mut(&network(peer))?.level_now(limit);
        if level + 1.0 <= limit || state.good.contains(&self.hasher.hash_one(secret)) {
            return None;
        }
        Some(Duration::from_secs_f64((level + 1.0 - limit) * 60.0 / limit))
    }

    /// Notes a failure.
    pub(super) fn failed(&self, peer: IpAddr) {
        if self.per_minute == 0 {
            return;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (peer, limit) = (network(peer), f64::from(self.per_minute));
        if state.peers.len() >= MAX_PEERS && !state.peers.contains_key(&peer) {
            state.peers.retain(|_, failures| failures.level_now(limit) > 0.0);
            if state.peers.len() >= MAX_PEERS
                && let Some(oldest) = state.peers.iter().min_by_key(|(_, failures)| failures.at).map(|(peer, _)| *peer)
            {
                state.peers.remove(&oldest);
            }
        }
        let failures = state.peers.entry(peer).or_insert_with(|| Failures { level: 0.0, at: Instant::now() });
        failures.level = (failures.level_now(limit) + 1.0).min(limit);
    }

    /// Notes that this secret is good.
    pub(super) fn succeeded(&self, secret: &str) {
        if self.per_minute == 0 {
            return;
        }
        let hash = self.hasher.hash_one(secret);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.good.contains(&hash) {
            if state.good.len() >= MAX_GOOD {
                state.good.pop_front();
            }
            state.good.push_back(hash);
        }
    }
}

impl Failures {
    fn level_now(&mut self, per_minute: f64) -> f64 {
        let now = Instant::now();
        self.level = (self.level - (now - self.at).as_secs_f64() * per_minute / 60.0).max(0.0);
        self.at = now;
        self.level
    }
}

/// An IPv6 host has a /64 to itself.
fn network(peer: IpAddr) -> IpAddr {
    match peer {
        IpAddr::V4(_) => peer,
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(address) => IpAddr::V4(address),
            None => {
                let [a, b, c, d, ..] = address.segments();
                IpAddr::from([a, b, c, d, 0, 0, 0, 0])
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_with_too_many_failures_waits_and_others_do_not() {
        let logins = FailedLogins::new(6);
        let (guesser, other) = (peer("192.0.2.1"), peer("192.0.2.2"));
        for _ in 0..6 {
            assert_eq!(logins.wait(guesser, "vk_guess"), None);
            logins.failed(guesser);
        }
        let wait = logins.wait(guesser, "vk_guess").expect("has to wait");
        assert!(wait > Duration::from_secs(5) && wait <= Duration::from_secs(10), "{wait:?}");
        assert_eq!(logins.wait(other, "vk_guess"), None);
        tokio::time::advance(Duration::from_secs(11)).await;
        assert_eq!(logins.wait(guesser, "vk_guess"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_known_good_key_passes_beside_a_guesser() {
        let logins = FailedLogins::new(1);
        let proxy = peer("192.0.2.1");
        logins.succeeded("vk_good");
        logins.failed(proxy);
        assert!(logins.wait(proxy, "vk_guess").is_some());
        assert_eq!(logins.wait(proxy, "vk_good"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded() {
        let logins = FailedLogins::new(2);
        for n in 0..MAX_PEERS as u32 + 10 {
            logins.failed(IpAddr::from((n + 0x0a00_0000).to_be_bytes()));
            logins.succeeded(&n.to_string());
        }
        let state = logins.state.lock().expect("not poisoned");
        assert!(state.peers.len() <= MAX_PEERS && state.good.len() <= MAX_GOOD);
    }

    #[test]
    fn an_ipv6_network_counts_as_one_and_a_mapped_address_as_ipv4() {
        assert_eq!(network(peer("2001:db8:1:2:3:4:5:6")), network(peer("2001:db8:1:2::1")));
        assert_ne!(network(peer("2001:db8:1:2::1")), network(peer("2001:db8:1:3::1")));
        assert_eq!(network(peer("::ffff:192.0.2.1")), peer("192.0.2.1"));
    }

    #[tokio::test]
    async fn without_a_limit_nobody_waits() {
        let logins = FailedLogins::new(0);
        logins.failed(peer("192.0.2.1"));
        assert_eq!(logins.wait(peer("192.0.2.1"), "x"), None);
    }
}
