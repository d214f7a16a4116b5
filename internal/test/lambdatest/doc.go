// Package lambdatest acts as AWS Lambda for a test, on the loopback interface: an
// execution environment, which runs a function's process and talks to it by the
// Lambda runtime interface, and an event source mapping, which receives from an
// SQS queue, invokes the function and deletes what it has handled.
//
// The process is a real one, started with what Lambda has in its environment, so
// that what is tested is lambda.Start and all that is below it, and so that it
// can be killed.
package lambdatest
