//! Loopback addresses: one network for a devcluster process, one block in it for a Neo4j cluster, one address for a pod.
//!
//! A process claims `127.N.0.0/16` by holding `127.N.255.254:7687`, so that several devclusters on one machine do not meet. A
//! cluster gets 128 addresses at first sight and keeps them; a pod's address follows from its pool and ordinal, so a re-created pod
//! has the one it had.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, TcpListener},
    sync::{Mutex, PoisonError},
};

use super::process::BOLT_PORT;

/// Networks that may be claimed.
const NETWORKS: std::ops::Range<u8> = 16..255;
/// Addresses of one cluster.
const BLOCK: u16 = 128;
/// The last block holds the claim itself.
const BLOCKS: u16 = u16::MAX / BLOCK;
/// Secondaries begin here in their cluster's block.
const SECONDARIES: u16 = 100;
/// Pods that do not listen, like those of backups, share this one.
const OTHERS: u16 = 127;

/// Why there is no address.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// Every network is taken, or loopback beyond 127.0.0.1 cannot be bound.
    #[error("no loopback network 127.16.0.0/16 to 127.254.0.0/16 could be claimed: {0}")]
    NoNetwork(std::io::Error),
    /// More clusters than blocks.
    #[error("no more than {BLOCKS} Neo4j clusters have addresses in one devcluster")]
    TooManyClusters,
    /// An ordinal beyond the block.
    #[error("pod {0} has no place among the 128 addresses of its cluster")]
    Ordinal(String),
}

/// The network of this process.
#[derive(Debug)]
pub struct Network {
    n: u8,
    /// Held for as long as the network is ours.
    _claim: Option<TcpListener>,
    blocks: Mutex<BTreeMap<String, u16>>,
}

impl Network {
    /// Claims the first free network.
    pub fn claim() -> Result<Self, AddressError> {
        let mut last = std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
        for n in NETWORKS {
            match TcpListener::bind((Ipv4Addr::new(127, n, 255, 254), BOLT_PORT)) {
                Ok(claim) => return Ok(Self::new(n, Some(claim))),
                Err(error) => last = error,
            }
        }
        Err(AddressError::NoNetwork(last))
    }

    /// A network that nobody listens on, for tests without sockets.
    pub fn unclaimed() -> Self {
        Self::new(NETWORKS.start, None)
    }

    fn new(n: u8, claim: Option<TcpListener>) -> Self {
        Self {
            n,
            _claim: claim,
            blocks: Mutex::new(BTreeMap::new()),
        }
    }

    /// The address of a pod: `pool` is the label `neo4j.com/server-name`, absent for pods that do not listen.
    pub fn address(&self, cluster: &str, pod: &str, pool: Option<&str>) -> Result<IpAddr, AddressError> {
        let block = self.block(cluster)?;
        let offset = match pool {
            None => OTHERS,
            Some(pool) => {
                let ordinal = pod.rsplit('-').next().and_then(|ordinal| ordinal.parse::<u16>().ok());
                let base = if pool == "secondary" { SECONDARIES } else { 0 };
                let end = if pool == "secondary" { OTHERS } else { SECONDARIES };
                let offset = ordinal.and_then(|ordinal| ordinal.checked_add(base));
                offset
                    .filter(|offset| *offset < end)
                    .ok_or_else(|| AddressError::Ordinal(pod.to_owned()))?
            }
        };
        Ok(self.at(block * BLOCK + offset))
    }

    /// Every address of a cluster.
    pub fn block_of(&self, cluster: &str) -> Result<Vec<IpAddr>, AddressError> {
        let block = self.block(cluster)?;
        Ok((0..BLOCK).map(|offset| self.at(block * BLOCK + offset)).collect())
    }

    fn at(&self, host: u16) -> IpAddr {
        let [high, low] = host.to_be_bytes();
        IpAddr::V4(Ipv4Addr::new(127, self.n, high, low))
    }

    fn block(&self, cluster: &str) -> Result<u16, AddressError> {
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(block) = blocks.get(cluster) {
            return Ok(*block);
        }
        let next = blocks.len() as u16;
        if next >= BLOCKS {
            return Err(AddressError::TooManyClusters);
        }
        blocks.insert(cluster.to_owned(), next);
        Ok(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_devclusters_have_two_networks_and_a_pod_keeps_its_address() {
        let (one, two) = (Network::claim().unwrap(), Network::claim().unwrap());
        assert_ne!(one.n, two.n);
        let address = |pod: &str, pool| one.address("ns/a", pod, Some(pool)).unwrap();
        let first = address("a-primary-2", "primary");
        assert_eq!(first, IpAddr::V4(Ipv4Addr::new(127, one.n, 0, 2)));
        assert_eq!(
            address("a-secondary-2", "secondary"),
            IpAddr::V4(Ipv4Addr::new(127, one.n, 0, 102))
        );
        let other = one.address("ns/b", "b-server-0", Some("server")).unwrap();
        assert_eq!(other, IpAddr::V4(Ipv4Addr::new(127, one.n, 0, 128)));
        assert_eq!(address("a-primary-2", "primary"), first);
        assert!(one.address("ns/a", "a-secondary-40", Some("secondary")).is_err());
        assert!(one.address("ns/a", "a-server-x", Some("server")).is_err());
    }
}
