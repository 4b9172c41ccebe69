//! The ports an appmaster listens on: any free ones, or the first free ones of configured ranges.

use std::io;

use anyhow::Context;
use flott_config::{Configuration, PortRange, options};
use tokio::net::TcpListener;

pub(crate) struct Listeners {
    pub(crate) rpc: TcpListener,
    pub(crate) rest: TcpListener,
}

impl Listeners {
    pub(crate) async fn bind(configuration: &Configuration) -> anyhow::Result<Self> {
        let ports = configuration.get(&options::YARN_APPLICATION_MASTER_PORT);
        let rpc = bind(&ports).await.with_context(|| {
            format!("no port of yarn.application-master.port ({ports}) can be listened on")
        })?;
        // The default of rest.bind-port is for clusters of one; here several share a node.
        let rest = match configuration.get_optional(&options::REST_BIND_PORT) {
            None => bind(&any_port())
                .await
                .context("listening on a free port failed")?,
            Some(ports) => bind(&ports).await.with_context(|| {
                format!("no port of rest.bind-port ({ports}) can be listened on")
            })?,
        };
        Ok(Self { rpc, rest })
    }
}

fn any_port() -> PortRange {
    "0".parse().expect("0 is a port range")
}

async fn bind(ports: &PortRange) -> io::Result<TcpListener> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for port in ports.ports() {
        match TcpListener::bind(("0.0.0.0", port)).await {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_free_port_of_a_range_is_taken() {
        let taken = bind(&any_port()).await.unwrap();
        let port = taken.local_addr().unwrap().port();
        let only: PortRange = port.to_string().parse().unwrap();
        assert_eq!(
            bind(&only).await.unwrap_err().kind(),
            io::ErrorKind::AddrInUse
        );
        let then_any: PortRange = format!("{port},0").parse().unwrap();
        assert_ne!(
            bind(&then_any).await.unwrap().local_addr().unwrap().port(),
            port
        );
    }
}
