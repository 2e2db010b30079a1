//! The arrows of `docs/ARCHITECTURE.md`, asserted from `cargo metadata`.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use serde_json::Value;

/// What each package of the workspace may use of the workspace. Development dependencies are checked apart.
const ALLOWED: &[(&str, &[&str])] = &[
    ("vectrion", &[]),
    ("vectrion-core", &[]),
    ("vectrion-migrations", &[]),
    ("vectrion-documents", &["vectrion-core"]),
    ("vectrion-models", &["vectrion-core"]),
    ("vectrion-backends", &["vectrion-core"]),
    ("vectrion-pipeline", &["vectrion-core"]),
    ("vectrion-testkit", &["vectrion-core"]),
    ("vectrion-store", &["vectrion-core", "vectrion-migrations"]),
    (
        "vectrion-runtime",
        &[
            "vectrion-core",
            "vectrion-pipeline",
            "vectrion-documents",
            "vectrion-models",
            "vectrion-store",
            "vectrion-backends",
        ],
    ),
    ("vectrion-server", &["vectrion-core", "vectrion-pipeline", "vectrion"]),
    ("vectrion-cli", &["vectrion-core", "vectrion-server", "vectrion-runtime", "vectrion"]),
    ("vectrion-bench", &["vectrion"]),
    // Programs of the tests, which none of ours may use.
    ("vectrion-qdrant-standin", &[]),
    ("vectrion-faults", &["vectrion", "vectrion-testkit"]),
];

/// Packages that must not be among a package's dependencies, however far.
const NEVER: &[(&str, &[&str])] = &[
    ("vectrion-core", &["tokio", "sea-orm", "tonic", "sqlx", "reqwest"]),
    (
        "vectrion-pipeline",
        &["sea-orm", "sqlx", "tonic", "prost", "lapin", "qdrant-edge", "qdrant-client", "reqwest", "fred"],
    ),
    ("vectrion-runtime", &["vectrion", "vectrion-server", "tonic-health", "tonic-reflection", "tonic-web"]),
    ("vectrion-server", &["sea-orm", "sqlx", "qdrant-edge", "ort", "pdfium-render"]),
];

struct Graph {
    /// Normal dependencies of every package, by name.
    normal: BTreeMap<String, BTreeSet<String>>,
    members: BTreeSet<String>,
    development: BTreeMap<String, BTreeSet<String>>,
}

fn graph() -> Graph {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let names: BTreeMap<String, String> = metadata["packages"]
        .as_array()
        .expect("packages")
        .iter()
        .map(|package| (text(&package["id"]), text(&package["name"])))
        .collect();
    let members: BTreeSet<String> = metadata["workspace_members"]
        .as_array()
        .expect("members")
        .iter()
        .map(|id| names[id.as_str().expect("an id")].clone())
        .collect();
    let (mut normal, mut development) = (BTreeMap::new(), BTreeMap::new());
    for node in metadata["resolve"]["nodes"].as_array().expect("nodes") {
        let name = names[node["id"].as_str().expect("an id")].clone();
        for dependency in node["deps"].as_array().expect("dependencies") {
            let target = names[dependency["pkg"].as_str().expect("an id")].clone();
            for kind in dependency["dep_kinds"].as_array().expect("kinds") {
                let into = match kind["kind"].as_str() {
                    None => &mut normal,
                    Some("dev") => &mut development,
                    Some(_) => continue,
                };
                into.entry(name.clone()).or_insert_with(BTreeSet::new).insert(target.clone());
            }
        }
    }
    Graph { normal, members, development }
}

impl Graph {
    fn reachable(&self, from: &str) -> BTreeSet<String> {
        let mut seen = BTreeSet::new();
        let mut open = vec![from.to_owned()];
        while let Some(name) = open.pop() {
            for target in self.normal.get(&name).into_iter().flatten() {
                if seen.insert(target.clone()) {
                    open.push(target.clone());
                }
            }
        }
        seen
    }
}

#[test]
fn the_arrows_hold() {
    let graph = graph();
    let listed: BTreeSet<String> = ALLOWED.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(graph.members, listed, "every package of the workspace has a line in ALLOWED");
    for (name, allowed) in ALLOWED {
        let used: BTreeSet<&str> = graph
            .normal
            .get(*name)
            .into_iter()
            .flatten()
            .map(String::as_str)
            .filter(|target| graph.members.contains(*target))
            .collect();
        let forbidden: Vec<&str> = used.into_iter().filter(|target| !allowed.contains(target)).collect();
        assert!(forbidden.is_empty(), "{name} must not use {forbidden:?}");
    }
}

#[test]
fn what_must_stay_out_stays_out() {
    let graph = graph();
    for (name, never) in NEVER {
        let reached = graph.reachable(name);
        let found: Vec<&&str> = never.iter().filter(|target| reached.contains(**target)).collect();
        assert!(found.is_empty(), "{name} reaches {found:?}");
    }
}

#[test]
fn the_testkit_serves_tests_alone() {
    let graph = graph();
    for (name, used) in &graph.normal {
        let is_test = name == "vectrion-faults";
        assert!(is_test || !used.contains("vectrion-testkit"), "{name} uses the testkit outside tests");
    }
    assert!(graph.development.values().any(|used| used.contains("vectrion-testkit")));
}
