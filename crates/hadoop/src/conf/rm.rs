//! Addresses of the ResourceManagers, with and without high availability.

use super::{ConfError, HadoopConf, HostPort};

/// Which service of the ResourceManager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RmService {
    /// `ApplicationClientProtocol`.
    Client,
    /// `ApplicationMasterProtocol`.
    Scheduler,
    /// REST and web UI.
    Web,
}

impl RmService {
    fn key(self) -> &'static str {
        match self {
            Self::Client => "yarn.resourcemanager.address",
            Self::Scheduler => "yarn.resourcemanager.scheduler.address",
            Self::Web => "yarn.resourcemanager.webapp.address",
        }
    }

    fn port(self) -> u16 {
        match self {
            Self::Client => 8032,
            Self::Scheduler => 8030,
            Self::Web => 8088,
        }
    }
}

/// One ResourceManager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RmAddress {
    /// Its id when there are several.
    pub id: Option<String>,
    /// Where the service listens.
    pub address: HostPort,
}

const HOSTNAME: &str = "yarn.resourcemanager.hostname";

impl HadoopConf {
    /// Addresses of a service on every ResourceManager, in the order of `yarn.resourcemanager.ha.rm-ids`.
    pub fn resource_managers(&self, service: RmService) -> Result<Vec<RmAddress>, ConfError> {
        if service == RmService::Web
            && self
                .get_or("yarn.http.policy", "")
                .eq_ignore_ascii_case("HTTPS_ONLY")
        {
            return Err(ConfError::Invalid {
                key: "yarn.http.policy".to_owned(),
                value: "HTTPS_ONLY".to_owned(),
                expected: "supported here; HTTP_ONLY and HTTP_AND_HTTPS are",
            });
        }
        if !self.bool("yarn.resourcemanager.ha.enabled", false)? {
            return Ok(vec![RmAddress {
                id: None,
                address: self.resource_manager(service, None)?,
            }]);
        }
        let ids_key = "yarn.resourcemanager.ha.rm-ids";
        let ids = self.get_or(ids_key, "");
        let ids: Vec<&str> = ids
            .split(',')
            .map(str::trim)
            .filter(|id| !id.is_empty())
            .collect();
        if ids.is_empty() {
            return Err(ConfError::Unset {
                key: ids_key.to_owned(),
                hint: "yarn.resourcemanager.ha.enabled is true, so it is needed".to_owned(),
            });
        }
        ids.into_iter()
            .map(|id| {
                let address = self.resource_manager(service, Some(id))?;
                Ok(RmAddress {
                    id: Some(id.to_owned()),
                    address,
                })
            })
            .collect()
    }

    fn resource_manager(
        &self,
        service: RmService,
        id: Option<&str>,
    ) -> Result<HostPort, ConfError> {
        let suffixed = |key: &str| match id {
            Some(id) => format!("{key}.{id}"),
            None => key.to_owned(),
        };
        let key = suffixed(service.key());
        let hostname_key = suffixed(HOSTNAME);
        let is_known = [&key, &hostname_key, &suffixed(RmService::Client.key())]
            .iter()
            .any(|key| self.is_set(key));
        if !is_known {
            return Err(ConfError::Unset {
                key: hostname_key,
                hint: self.hint("yarn-site.xml"),
            });
        }
        let mut address = if id.is_none() || self.is_set(&key) {
            self.host_port(&key, service.port())?
        } else {
            let hostname = self.get_or(&hostname_key, "0.0.0.0");
            HostPort::new(hostname, service.port())
        };
        // Daemons are often told to bind to every interface; that is no address for a client elsewhere.
        if address.host == "0.0.0.0"
            && let Some(host) = self.real_host(&hostname_key, &suffixed(RmService::Client.key()))
        {
            address.host = host;
        }
        Ok(address)
    }

    fn real_host(&self, hostname_key: &str, client_key: &str) -> Option<String> {
        let hostname = self
            .get(hostname_key)
            .filter(|host| host != "0.0.0.0" && !host.is_empty());
        hostname.or_else(|| {
            let address = HostPort::parse(&self.get(client_key)?, Some(0))?;
            (address.host != "0.0.0.0").then_some(address.host)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conf(pairs: &[(&str, &str)]) -> HadoopConf {
        HadoopConf::from_map(
            pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
        )
    }

    fn addresses(conf: &HadoopConf, service: RmService) -> Vec<String> {
        conf.resource_managers(service)
            .unwrap()
            .into_iter()
            .map(|rm| rm.address.to_string())
            .collect()
    }

    #[test]
    fn derived_from_the_host_name() {
        let conf = conf(&[
            (HOSTNAME, "rm.example"),
            ("yarn.resourcemanager.webapp.address", "0.0.0.0:18088"),
        ]);
        assert_eq!(addresses(&conf, RmService::Client), ["rm.example:8032"]);
        assert_eq!(addresses(&conf, RmService::Scheduler), ["rm.example:8030"]);
        assert_eq!(addresses(&conf, RmService::Web), ["rm.example:18088"]);
    }

    #[test]
    fn bound_to_every_interface_but_known_by_the_client_address() {
        let conf = conf(&[("yarn.resourcemanager.address", "rm:1")]);
        assert_eq!(addresses(&conf, RmService::Web), ["rm:8088"]);
    }

    #[test]
    fn high_availability_with_variables() {
        let conf = conf(&[
            ("yarn.resourcemanager.ha.enabled", "true"),
            ("yarn.resourcemanager.ha.rm-ids", "rm1, rm2"),
            ("base", "node"),
            ("yarn.resourcemanager.hostname.rm1", "${base}1"),
            ("yarn.resourcemanager.hostname.rm2", "${base}2"),
            ("yarn.resourcemanager.scheduler.address.rm2", "other:5"),
        ]);
        assert_eq!(
            addresses(&conf, RmService::Scheduler),
            ["node1:8030", "other:5"]
        );
        assert_eq!(
            addresses(&conf, RmService::Web),
            ["node1:8088", "node2:8088"]
        );
        let second = &conf.resource_managers(RmService::Client).unwrap()[1];
        assert_eq!(second.id.as_deref(), Some("rm2"));
    }

    #[test]
    fn unset_addresses_are_an_error_that_names_the_key() {
        let error = conf(&[]).resource_managers(RmService::Web).unwrap_err();
        assert!(error.to_string().contains(HOSTNAME), "{error}");
        let conf = conf(&[("yarn.resourcemanager.ha.enabled", "true")]);
        let error = conf.resource_managers(RmService::Web).unwrap_err();
        assert!(error.to_string().contains("rm-ids"), "{error}");
    }
}
