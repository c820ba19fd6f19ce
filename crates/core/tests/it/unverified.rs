//! What must not compile: an event whose sender was never verified.

#[test]
fn an_unverified_request_cannot_become_an_event() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
