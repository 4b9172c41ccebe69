//! Site files: discovery, expansion, precedence, and what is wrong with them.

use super::*;

fn site(properties: &str) -> String {
    format!("<configuration>{properties}</configuration>")
}

fn property(name: &str, value: &str) -> String {
    format!("<property><name>{name}</name><value>{value}</value></property>")
}

fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, content) in files {
        std::fs::write(directory.path().join(name), content).unwrap();
    }
    directory
}

#[test]
fn later_files_win_except_over_final_properties() {
    let core = site(
        "<property><name>fixed</name><value>1</value><final>true</final></property>\
         <property><name>loose</name><value>1</value></property>",
    );
    let yarn = site(&format!(
        "{}{}",
        property("fixed", "2"),
        property("loose", "2")
    ));
    let directory = directory(&[("core-site.xml", &core), ("yarn-site.xml", &yarn)]);
    let conf = HadoopConf::load(Some(directory.path())).unwrap();
    assert_eq!(conf.get("fixed").as_deref(), Some("1"));
    assert_eq!(conf.get("loose").as_deref(), Some("2"));
    assert_eq!(conf.directory(), Some(directory.path()));
}

#[test]
fn discovery_order() {
    let with = |set: &'static [(&str, &str)]| {
        move |name: &str| {
            set.iter()
                .find(|(n, _)| *n == name)
                .map(|(_, v)| (*v).to_owned())
        }
    };
    let found = |explicit, set| discover(explicit, with(set)).map(|(_, path)| path);
    let all: &[(&str, &str)] = &[
        ("HADOOP_CONF_DIR", "/a"),
        ("YARN_CONF_DIR", "/b"),
        ("HADOOP_HOME", "/c"),
    ];
    assert_eq!(found(Some(Path::new("/x")), all), Some("/x".into()));
    assert_eq!(found(None, all), Some("/a".into()));
    assert_eq!(found(None, &all[1..]), Some("/b".into()));
    assert_eq!(found(None, &all[2..]), Some("/c/etc/hadoop".into()));
    assert_eq!(found(None, &[]), None);
    assert!(
        ConfError::NoDirectory
            .to_string()
            .contains("set HADOOP_CONF_DIR")
    );
}

#[test]
fn errors_name_the_file_and_line() {
    let error = HadoopConf::load(Some(Path::new("/no/such/directory"))).unwrap_err();
    assert!(error.to_string().contains("/no/such/directory"), "{error}");

    let empty = directory(&[]);
    let error = HadoopConf::load(Some(empty.path())).unwrap_err();
    assert!(
        error.to_string().contains("core-site.xml is missing"),
        "{error}"
    );

    let good = site("");
    let broken = directory(&[
        ("core-site.xml", &good),
        ("yarn-site.xml", "<configuration>\n<property>\n"),
    ]);
    let error = HadoopConf::load(Some(broken.path()))
        .unwrap_err()
        .to_string();
    assert!(error.contains("yarn-site.xml, line 3"), "{error}");
}

#[test]
fn typed_values() {
    let mut conf = HadoopConf::default();
    for (key, value) in [
        ("t", "30s"),
        ("m", " 250 "),
        ("h", "0x10"),
        ("yes", "TRUE"),
        ("bad", "often"),
        ("e", ""),
    ] {
        conf.set(key, value);
    }
    assert_eq!(conf.duration_ms("t", 0).unwrap(), 30_000);
    assert_eq!(conf.duration_ms("m", 0).unwrap(), 250);
    assert_eq!(conf.duration_ms("absent", 7).unwrap(), 7);
    assert_eq!(
        conf.duration_ms("ipc.client.connect.timeout", 1).unwrap(),
        20_000
    );
    assert_eq!(conf.u64("h", 0).unwrap(), 16);
    assert_eq!(conf.u64("e", 3).unwrap(), 3);
    assert!(conf.bool("yes", false).unwrap());
    let error = conf.bool("bad", true).unwrap_err().to_string();
    assert!(error.contains("bad") && error.contains("often"), "{error}");
    assert!(conf.duration_ms("bad", 1).is_err());
    conf.set("huge", "99999999999999999d");
    assert!(conf.duration_ms("huge", 1).is_err());
}

#[test]
fn shipped_settings_are_expanded_and_hold_no_secrets() {
    let mut conf = HadoopConf::default();
    conf.set("ns", "prod");
    conf.set("fs.defaultFS", "hdfs://${ns}");
    conf.set("yarn.resourcemanager.hostname", "rm.${ns}");
    conf.set("fs.s3a.secret.key", "hush");
    conf.set("ssl.server.keystore.password", "hush");
    let shipped = conf.entries();
    assert!(!shipped.values().any(|value| value == "hush"));
    let back = HadoopConf::from_map(shipped);
    assert_eq!(back.fs_default(), "hdfs://prod");
    let rm = &back.resource_managers(RmService::Scheduler).unwrap()[0];
    assert_eq!(rm.address.to_string(), "rm.prod:8030");
    assert!(!back.to_map().contains_key("yarn.resourcemanager.hostname"));
    assert_eq!(back.to_map()["fs.defaultFS"], "hdfs://prod");
    assert!(!back.is_secure());
}
