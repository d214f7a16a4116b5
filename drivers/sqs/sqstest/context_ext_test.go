package sqstest_test

import "context"

type ctx = context.Context

// bg is what tests call the client with: the clients make one attempt each, and
// nothing here is canceled but by a test that says so.
var bg = context.Background()
