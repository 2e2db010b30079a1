//! Conformance of [`VectorIndex`].

use std::collections::BTreeSet;

use uuid::Uuid;
use vectrion_core::{
    ErrorKind,
    ids::{ChunkId, CollectionId, DocumentId, TenantId, VersionId},
    ports::vectors::{Generation, Hit, Point, PointPage, VectorFilter, VectorIndex, VectorQuery, VectorScope},
};

/// Dimension of the vectors that the suite uses.
pub const DIMENSION: usize = 8;

/// Checks an adapter. `make` gives indexes with nothing in them.
///
/// # Panics
/// When the adapter breaks the contract.
pub async fn suite<I: VectorIndex>(make: impl AsyncFn() -> I) {
    a_scope_that_was_never_written_is_empty(&make().await).await;
    dense_scores_are_cosines(&make().await).await;
    sparse_scores_are_bm25_sums(&make().await).await;
    upserts_replace_and_may_be_repeated(&make().await).await;
    filters_limit_where_is_looked(&make().await).await;
    versions_and_documents_are_deleted(&make().await).await;
    counts_are_exact_and_in_the_order_asked(&make().await).await;
    order_and_limit_are_deterministic(&make().await).await;
    tenants_do_not_touch_each_other(&make().await).await;
    generations_do_not_touch_each_other(&make().await).await;
    a_walk_sees_every_point_of_its_scope_once(&make().await).await;
    wrong_vectors_are_refused(&make().await).await;
    odd_texts_are_no_trouble(&make().await).await;
    calls_at_once_do_not_disturb_each_other(&make().await).await;
    let index = make().await;
    index.check().await.expect("a new index can be used");
}

/// A scope of a new tenant.
#[must_use]
pub fn scope() -> VectorScope {
    VectorScope { generation: generation("test-model"), tenant: TenantId::new() }
}

/// A generation of this model.
#[must_use]
pub fn generation(model: &str) -> Generation {
    Generation { model: model.to_owned(), dimension: DIMENSION, chunker: "test-chunker".to_owned() }
}

/// The vector of unit length in the direction of the first numbers given.
#[must_use]
pub fn unit(numbers: &[f32]) -> Vec<f32> {
    let mut vector = numbers.to_vec();
    vector.resize(DIMENSION, 0.0);
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    vector.iter().map(|x| x / length).collect()
}

/// A point of a new document, with the id that `number` gives.
#[must_use]
pub fn point(number: u128, direction: &[f32], text: &str) -> Point {
    Point {
        id: ChunkId(Uuid::from_u128(number)),
        document: DocumentId::new(),
        version_id: VersionId::new(),
        collection: CollectionId::new(),
        dense: unit(direction),
        text: text.to_owned(),
    }
}

/// Points of one version of one document in one collection.
fn points_of(document: DocumentId, version: VersionId, collection: CollectionId, numbers: &[u128]) -> Vec<Point> {
    numbers
        .iter()
        .map(|number| Point {
            document,
            version_id: version,
            collection,
            ..point(*number, &[1.0, *number as f32], &format!("word common w{number}"))
        })
        .collect()
}

async fn dense(index: &impl VectorIndex, scope: &VectorScope, direction: &[f32], limit: usize) -> Vec<Hit> {
    let query = VectorQuery::Dense(unit(direction));
    index.search(scope, &query, &VectorFilter::default(), limit).await.expect("searches")
}

async fn sparse(index: &impl VectorIndex, scope: &VectorScope, words: &str, limit: usize) -> Vec<Hit> {
    let query = VectorQuery::Sparse(words.to_owned());
    index.search(scope, &query, &VectorFilter::default(), limit).await.expect("searches")
}

fn numbers(hits: &[Hit]) -> Vec<u128> {
    hits.iter().map(|hit| hit.id.0.as_u128()).collect()
}

async fn ids_of(index: &impl VectorIndex, scope: &VectorScope, document: DocumentId) -> BTreeSet<u128> {
    let ids = index.point_ids(scope, document).await.expect("lists");
    let set: BTreeSet<u128> = ids.iter().map(|id| id.0.as_u128()).collect();
    assert_eq!(set.len(), ids.len(), "every id once");
    set
}

async fn a_scope_that_was_never_written_is_empty(index: &impl VectorIndex) {
    let scope = scope();
    let (version, document) = (VersionId::new(), DocumentId::new());
    assert_eq!(dense(index, &scope, &[1.0], 10).await, []);
    assert_eq!(sparse(index, &scope, "word", 10).await, []);
    assert_eq!(index.count(&scope, &[version, version]).await.expect("counts"), [0, 0]);
    assert_eq!(index.count(&scope, &[]).await.expect("counts"), [0; 0]);
    assert_eq!(index.point_ids(&scope, document).await.expect("lists"), []);
    index.delete_version(&scope, version).await.expect("nothing to delete");
    index.delete_document(&scope, document).await.expect("nothing to delete");
    index.flush(&scope).await.expect("nothing to flush");
    index.drop_tenant(scope.tenant).await.expect("nothing to drop");
    index.upsert(&scope, Vec::new()).await.expect("nothing to write");
    assert_eq!(index.count(&scope, &[version]).await.expect("counts"), [0]);
}

async fn dense_scores_are_cosines(index: &impl VectorIndex) {
    let scope = scope();
    let points =
        vec![point(1, &[1.0], "a"), point(2, &[1.0, 1.0], "b"), point(3, &[0.0, 1.0], "c"), point(4, &[-1.0], "d")];
    index.upsert(&scope, points.clone()).await.expect("writes");
    let hits = dense(index, &scope, &[1.0], 10).await;
    assert_eq!(numbers(&hits), [1, 2, 3, 4]);
    for (hit, expected) in hits.iter().zip([1.0, 0.5f32.sqrt(), 0.0, -1.0]) {
        assert!((hit.score - expected).abs() < 1e-5, "{hit:?}, expected {expected}");
        let point = &points[usize::try_from(hit.id.0.as_u128()).expect("small") - 1];
        assert_eq!((hit.document, hit.version_id), (point.document, point.version_id), "facts come with the hit");
    }
}

/// The score of a point among hits; zero if it was not found.
fn score_of(hits: &[Hit], number: u128) -> f32 {
    hits.iter().find(|hit| hit.id.0.as_u128() == number).map_or(0.0, |hit| hit.score)
}

async fn sparse_scores_are_bm25_sums(index: &impl VectorIndex) {
    let scope = scope();
    let points = vec![
        point(1, &[1.0], "the reactor pressure valve opened"),
        point(2, &[1.0], "a valve opened, then another valve"),
        point(3, &[1.0], "the minutes of the meeting"),
        point(4, &[1.0], "reactor"),
    ];
    index.upsert(&scope, points).await.expect("writes");
    let both = sparse(index, &scope, "pressure in the reactor", 10).await;
    assert_eq!(numbers(&both), [1, 4], "two words beat one, and points that share no word are not found");

    let pressure = sparse(index, &scope, "pressure", 10).await;
    let reactor = sparse(index, &scope, "reactor", 10).await;
    let sum = score_of(&pressure, 1) + score_of(&reactor, 1);
    assert!((score_of(&both, 1) - sum).abs() < 1e-4, "a score is the sum over the words: {both:?}");
    assert!(score_of(&pressure, 1) > score_of(&reactor, 1), "a rare word counts more: {pressure:?} {reactor:?}");
    assert!(score_of(&reactor, 4) > score_of(&reactor, 1), "a word counts more in a short text: {reactor:?}");
    let valves = sparse(index, &scope, "valve", 10).await;
    assert!(score_of(&valves, 2) > score_of(&valves, 1), "a repeated word counts more: {valves:?}");
    for nothing in ["unheard-of", "", "?!"] {
        assert_eq!(sparse(index, &scope, nothing, 10).await, [], "{nothing:?}");
    }
}

async fn upserts_replace_and_may_be_repeated(index: &impl VectorIndex) {
    let scope = scope();
    let first = vec![point(1, &[1.0], "old words"), point(2, &[0.0, 1.0], "other")];
    for _ in 0..3 {
        index.upsert(&scope, first.clone()).await.expect("writes");
        index.flush(&scope).await.expect("flushes");
    }
    assert_eq!(dense(index, &scope, &[1.0], 10).await.len(), 2);
    let versions = [first[0].version_id, first[1].version_id];
    assert_eq!(index.count(&scope, &versions).await.expect("counts"), [1, 1]);

    let replaced = Point { id: first[0].id, ..point(1, &[0.0, 0.0, 1.0], "new words") };
    index.upsert(&scope, vec![replaced.clone()]).await.expect("writes");
    let hits = dense(index, &scope, &[0.0, 0.0, 1.0], 10).await;
    assert_eq!(numbers(&hits)[0], 1, "found where it is now");
    assert_eq!(hits[0].version_id, replaced.version_id);
    assert_eq!(sparse(index, &scope, "old", 10).await, [], "its old words are gone");
    assert_eq!(numbers(&sparse(index, &scope, "new", 10).await), [1]);
    let counts = index.count(&scope, &[first[0].version_id, replaced.version_id]).await.expect("counts");
    assert_eq!(counts, [0, 1]);
    assert_eq!(ids_of(index, &scope, first[0].document).await, BTreeSet::new());
    assert_eq!(ids_of(index, &scope, replaced.document).await, BTreeSet::from([1]));

    // The same id twice in one call: the last one counts.
    let twice = vec![point(9, &[1.0], "early"), point(9, &[1.0], "late")];
    index.upsert(&scope, twice).await.expect("writes");
    assert_eq!(sparse(index, &scope, "early", 10).await, []);
    assert_eq!(numbers(&sparse(index, &scope, "late", 10).await), [9]);
}

async fn filters_limit_where_is_looked(index: &impl VectorIndex) {
    let scope = scope();
    let (red, blue) = (CollectionId::new(), CollectionId::new());
    let documents: Vec<DocumentId> = (0..3).map(|_| DocumentId::new()).collect();
    let mut points = points_of(documents[0], VersionId::new(), red, &[1, 2]);
    points.extend(points_of(documents[1], VersionId::new(), blue, &[3, 4]));
    points.extend(points_of(documents[2], VersionId::new(), blue, &[5, 6]));
    index.upsert(&scope, points).await.expect("writes");
    let cases: [(VectorFilter, &[u128]); 7] = [
        (VectorFilter::default(), &[1, 2, 3, 4, 5, 6]),
        (VectorFilter { collections: vec![red], documents: vec![] }, &[1, 2]),
        (VectorFilter { collections: vec![red, blue], documents: vec![] }, &[1, 2, 3, 4, 5, 6]),
        (VectorFilter { collections: vec![], documents: vec![documents[1]] }, &[3, 4]),
        (VectorFilter { collections: vec![], documents: vec![documents[0], documents[2]] }, &[1, 2, 5, 6]),
        (VectorFilter { collections: vec![blue], documents: vec![documents[0], documents[2]] }, &[5, 6]),
        (VectorFilter { collections: vec![CollectionId::new()], documents: vec![] }, &[]),
    ];
    for (filter, expected) in cases {
        for query in [VectorQuery::Dense(unit(&[1.0])), VectorQuery::Sparse("common".to_owned())] {
            let hits = index.search(&scope, &query, &filter, 10).await.expect("searches");
            let found: BTreeSet<u128> = numbers(&hits).into_iter().collect();
            assert_eq!(found, expected.iter().copied().collect(), "{filter:?} {query:?}");
        }
    }
    let filter = VectorFilter { collections: vec![red], documents: vec![] };
    let hits = index.search(&scope, &VectorQuery::Sparse("w5".to_owned()), &filter, 10).await.expect("searches");
    assert_eq!(hits, [], "a filter does not let in what shares no word");
}

async fn versions_and_documents_are_deleted(index: &impl VectorIndex) {
    let scope = scope();
    let collection = CollectionId::new();
    let (document, other) = (DocumentId::new(), DocumentId::new());
    let (old, new, third) = (VersionId::new(), VersionId::new(), VersionId::new());
    index.upsert(&scope, points_of(document, old, collection, &[1, 2, 3])).await.expect("writes");
    index.upsert(&scope, points_of(document, new, collection, &[4, 5])).await.expect("writes");
    index.upsert(&scope, points_of(other, third, collection, &[6])).await.expect("writes");
    for _ in 0..2 {
        index.delete_version(&scope, old).await.expect("deletes");
        assert_eq!(index.count(&scope, &[old, new, third]).await.expect("counts"), [0, 2, 1]);
        assert_eq!(ids_of(index, &scope, document).await, BTreeSet::from([4, 5]));
    }
    assert_eq!(sparse(index, &scope, "w1", 10).await, [], "a deleted point is not found");
    index.upsert(&scope, points_of(document, old, collection, &[1])).await.expect("writes");
    assert_eq!(index.count(&scope, &[old]).await.expect("counts"), [1], "and may be written again");
    for _ in 0..2 {
        index.delete_document(&scope, document).await.expect("deletes");
        index.flush(&scope).await.expect("flushes");
        assert_eq!(index.count(&scope, &[old, new, third]).await.expect("counts"), [0, 0, 1]);
    }
    assert_eq!(numbers(&dense(index, &scope, &[1.0], 10).await), [6]);
}

async fn counts_are_exact_and_in_the_order_asked(index: &impl VectorIndex) {
    let scope = scope();
    let collection = CollectionId::new();
    let versions: Vec<VersionId> = (0..1000).map(|_| VersionId::new()).collect();
    let mut expected = vec![0; versions.len()];
    let mut number = 0;
    for (i, version) in versions.iter().enumerate().step_by(37) {
        let ids: Vec<u128> = (0..=(i as u128 / 37 % 7)).map(|j| number + j + 1).collect();
        number += ids.len() as u128;
        expected[i] = ids.len() as u64;
        index.upsert(&scope, points_of(DocumentId::new(), *version, collection, &ids)).await.expect("writes");
    }
    assert_eq!(index.count(&scope, &versions).await.expect("counts"), expected);
    let (some, their): (Vec<VersionId>, Vec<u64>) =
        [74, 0, 1, 37, 74].map(|i: usize| (versions[i], expected[i])).into_iter().unzip();
    assert_eq!(index.count(&scope, &some).await.expect("counts"), their, "in any order, also twice");
}

async fn order_and_limit_are_deterministic(index: &impl VectorIndex) {
    let scope = scope();
    let collection = CollectionId::new();
    // Forty points that are all as good as each other, written in no order, and one that is better.
    let mut ids: Vec<u128> = (1..=40).map(|i| (i * 17) % 41).collect();
    ids.rotate_left(5);
    for id in ids {
        let equal = Point { collection, ..point(id, &[1.0], "equal words") };
        index.upsert(&scope, vec![equal]).await.expect("writes");
    }
    index.upsert(&scope, vec![point(99, &[1.0, 1.0], "words")]).await.expect("writes");
    for limit in [1, 2, 7, 40, 41, 100] {
        let hits = dense(index, &scope, &[1.0, 1.0], limit).await;
        let expected: Vec<u128> = std::iter::once(99).chain(1..=40).take(limit).collect();
        assert_eq!(numbers(&hits), expected, "equal scores go by id, limit {limit}");
        let hits = sparse(index, &scope, "equal", limit).await;
        assert_eq!(numbers(&hits), (1..=40).take(limit).collect::<Vec<u128>>(), "limit {limit}");
    }
    assert_eq!(dense(index, &scope, &[1.0], 0).await, []);
}

async fn tenants_do_not_touch_each_other(index: &impl VectorIndex) {
    let a = scope();
    let b = VectorScope { tenant: TenantId::new(), ..a.clone() };
    let points: Vec<Point> = (1..=20)
        .map(|i| point(i, &[1.0, i as f32 / 10.0], if i % 5 == 0 { "turbine blade" } else { "turbine housing" }))
        .collect();
    let (document, version) = (points[0].document, points[0].version_id);
    index.upsert(&a, points.clone()).await.expect("writes");
    let before = (dense(index, &a, &[1.0], 50).await, sparse(index, &a, "turbine blade", 50).await);
    assert_eq!(before.1.len(), 20);

    // The other tenant has the same ids, and words that would change every frequency.
    let theirs: Vec<Point> = (1..=60).map(|i| point(i, &[0.9, 0.1], "blade blade blade")).collect();
    index.upsert(&b, theirs.clone()).await.expect("writes");
    index.upsert(&b, points.clone()).await.expect("writes");
    let after = (dense(index, &a, &[1.0], 50).await, sparse(index, &a, "turbine blade", 50).await);
    assert_eq!(after, before, "another tenant's documents change no score and no rank");

    index.delete_version(&b, version).await.expect("deletes");
    index.delete_document(&b, document).await.expect("deletes");
    assert_eq!(index.count(&a, &[version]).await.expect("counts"), [1]);
    index.drop_tenant(b.tenant).await.expect("drops");
    index.drop_tenant(b.tenant).await.expect("drops again");
    assert_eq!(dense(index, &b, &[1.0], 50).await, []);
    assert_eq!(index.count(&b, &[theirs[5].version_id]).await.expect("counts"), [0]);
    let last = (dense(index, &a, &[1.0], 50).await, sparse(index, &a, "turbine blade", 50).await);
    assert_eq!(last, before, "nor does their end");
    index.upsert(&b, theirs.clone()).await.expect("a dropped tenant may come again");
    assert_eq!(index.count(&b, &[theirs[5].version_id]).await.expect("counts"), [1]);
}

async fn generations_do_not_touch_each_other(index: &impl VectorIndex) {
    let old = scope();
    let new = VectorScope { generation: generation("another-model"), ..old.clone() };
    let points = vec![point(1, &[1.0], "alpha"), point(2, &[0.0, 1.0], "beta")];
    index.upsert(&old, points.clone()).await.expect("writes");
    assert_eq!(dense(index, &new, &[1.0], 10).await, []);
    index.upsert(&new, points[..1].to_vec()).await.expect("writes");
    assert_eq!(dense(index, &new, &[1.0], 10).await.len(), 1);
    index.delete_document(&new, points[0].document).await.expect("deletes");
    assert_eq!(numbers(&sparse(index, &old, "alpha", 10).await), [1]);
    index.upsert(&new, points.clone()).await.expect("writes");

    let mut found = index.generations(old.tenant).await.expect("a listing");
    found.sort_by(|a, b| a.model.cmp(&b.model));
    let mut expected = vec![old.generation.clone(), new.generation.clone()];
    expected.sort_by(|a, b| a.model.cmp(&b.model));
    assert_eq!(found, expected);
    assert_eq!(index.generations(TenantId::new()).await.expect("a listing"), []);
    index.drop_scope(&old).await.expect("drops");
    index.drop_scope(&old).await.expect("drops again");
    assert_eq!(index.generations(old.tenant).await.expect("a listing"), std::slice::from_ref(&new.generation));
    assert_eq!(dense(index, &old, &[1.0], 10).await, []);
    assert_eq!(dense(index, &new, &[1.0], 10).await.len(), 2, "the other one stays");
    index.upsert(&old, points).await.expect("a dropped one may come again");

    index.drop_tenant(old.tenant).await.expect("drops");
    assert_eq!(dense(index, &old, &[1.0], 10).await, [], "a tenant is dropped from every generation");
    assert_eq!(dense(index, &new, &[1.0], 10).await, []);
}

async fn a_walk_sees_every_point_of_its_scope_once(index: &impl VectorIndex) {
    let (scope, other) = (scope(), scope());
    assert_eq!(index.walk(&scope, None, 10).await.expect("walks"), PointPage::default(), "it was never written");
    let mut written = BTreeSet::new();
    for document in 0..3u128 {
        let (id, version, collection) = (DocumentId::new(), VersionId::new(), CollectionId::new());
        let numbers: Vec<u128> = (1..=7).map(|number| 10 * document + number).collect();
        index.upsert(&scope, points_of(id, version, collection, &numbers)).await.expect("writes");
        written.extend(numbers.into_iter().map(|number| (number, id, version, collection)));
    }
    let theirs = points_of(DocumentId::new(), VersionId::new(), CollectionId::new(), &[1, 2, 99]);
    index.upsert(&other, theirs).await.expect("writes");
    for limit in [1, 4, 7, 21, 1000] {
        let (mut walked, mut from) = (Vec::new(), None);
        loop {
            let page = index.walk(&scope, from.as_deref(), limit).await.expect("walks");
            assert!(page.points.len() <= limit, "{} of {limit}", page.points.len());
            walked.extend(
                page.points
                    .iter()
                    .map(|point| (point.id.0.as_u128(), point.document, point.version_id, point.collection)),
            );
            from = page.next;
            if from.is_none() {
                break;
            }
        }
        assert_eq!(walked.len(), written.len(), "{limit} at a time: each once");
        assert_eq!(walked.into_iter().collect::<BTreeSet<_>>(), written, "{limit} at a time");
    }
    let error = index.walk(&scope, Some("no cursor"), 10).await.expect_err("no page gave it");
    assert_eq!(error.reason(), "INVALID_CURSOR");
    // A walk goes on where what it had come to is gone.
    let page = index.walk(&scope, None, 5).await.expect("walks");
    for point in &page.points {
        index.delete_document(&scope, point.document).await.expect("deletes");
    }
    let rest = index.walk(&scope, page.next.as_deref(), 100).await.expect("walks");
    assert!(rest.points.iter().all(|point| page.points.iter().all(|gone| gone.document != point.document)));

    let tenants: BTreeSet<TenantId> = index.tenants().await.expect("lists").into_iter().collect();
    assert!(tenants.contains(&other.tenant) && !tenants.contains(&TenantId::new()));
    index.drop_tenant(other.tenant).await.expect("drops");
    assert!(!index.tenants().await.expect("lists").contains(&other.tenant), "without points it is not listed");
}

async fn wrong_vectors_are_refused(index: &impl VectorIndex) {
    let scope = scope();
    let good = point(1, &[1.0], "good");
    let mismatch = |error: vectrion_core::Error| {
        assert_eq!((error.kind(), error.reason()), (ErrorKind::InvalidArgument, "DIMENSION_MISMATCH"));
    };
    for wrong in [vec![1.0; DIMENSION - 1], vec![1.0; DIMENSION + 1], vec![]] {
        let point = Point { dense: wrong.clone(), ..point(2, &[1.0], "wrong") };
        mismatch(index.upsert(&scope, vec![good.clone(), point]).await.expect_err("wrong length"));
        let query = VectorQuery::Dense(wrong);
        mismatch(index.search(&scope, &query, &VectorFilter::default(), 3).await.expect_err("wrong length"));
    }
    assert_eq!(dense(index, &scope, &[1.0], 10).await, [], "a refused call writes nothing");
    for wrong in [f32::NAN, f32::INFINITY] {
        let mut vector = unit(&[1.0]);
        vector[3] = wrong;
        let point = Point { dense: vector.clone(), ..point(2, &[1.0], "wrong") };
        let error = index.upsert(&scope, vec![point]).await.expect_err("not a number");
        assert_eq!((error.kind(), error.reason()), (ErrorKind::InvalidArgument, "VECTOR_NOT_FINITE"));
        let query = VectorQuery::Dense(vector);
        let error = index.search(&scope, &query, &VectorFilter::default(), 3).await.expect_err("not a number");
        assert_eq!(error.reason(), "VECTOR_NOT_FINITE");
    }
}

async fn odd_texts_are_no_trouble(index: &impl VectorIndex) {
    let scope = scope();
    let long = "lorem ipsum ".repeat(20_000);
    let texts =
        ["", "\0", "?!…", "東京タワー", "Übergröße ÉTÉ", "🦀", long.as_str(), "a\u{301}\u{301}\u{301}", "the and of"];
    let points = texts.iter().zip(1..).map(|(text, number)| point(number, &[1.0], text)).collect();
    index.upsert(&scope, points).await.expect("writes");
    index.flush(&scope).await.expect("flushes");
    assert_eq!(dense(index, &scope, &[1.0], 20).await.len(), texts.len());
    for text in texts {
        let hits = sparse(index, &scope, text, 20).await;
        assert!(hits.len() <= 1, "{hits:?}");
    }
    assert_eq!(numbers(&sparse(index, &scope, "übergröße", 20).await), [5]);
    assert_eq!(numbers(&sparse(index, &scope, "lorem", 20).await), [7]);
}

async fn calls_at_once_do_not_disturb_each_other(index: &impl VectorIndex) {
    let scopes = [scope(), scope(), scope()];
    let writes = (0..12u128).map(|i| {
        let scope = &scopes[i as usize % scopes.len()];
        async move {
            let (document, version) = (DocumentId::new(), VersionId::new());
            let ids: Vec<u128> = (0..30).map(|j| i * 100 + j + 1).collect();
            let points = points_of(document, version, CollectionId::new(), &ids);
            index.upsert(scope, points).await.expect("writes");
            index.flush(scope).await.expect("flushes");
            assert_eq!(index.count(scope, &[version]).await.expect("counts"), [30], "seen at once");
            assert_eq!(dense(index, scope, &[1.0], 5).await.len(), 5);
            if i % 4 == 0 {
                index.delete_version(scope, version).await.expect("deletes");
                index.flush(scope).await.expect("flushes");
            }
            let left = index.count(scope, &[version]).await.expect("counts");
            assert_eq!(left, [if i % 4 == 0 { 0 } else { 30 }]);
        }
    });
    futures::future::join_all(writes).await;
    let mut total = 0;
    for scope in &scopes {
        total += dense(index, scope, &[1.0], 1000).await.len();
    }
    assert_eq!(total, 9 * 30);
}
