package localstack_test

import (
	"fmt"

	"github.com/sluice-go/sluice/localstack"
)

// The environment of a program that talks to a LocalStack.
func ExampleEnvironment() {
	for _, v := range localstack.Environment("http://127.0.0.1:4566") {
		fmt.Println(v)
	}
	// Output:
	// AWS_ENDPOINT_URL=http://127.0.0.1:4566
	// AWS_ENDPOINT_URL_SQS=http://127.0.0.1:4566
	// AWS_REGION=us-east-1
	// AWS_DEFAULT_REGION=us-east-1
	// AWS_ACCESS_KEY_ID=test
	// AWS_SECRET_ACCESS_KEY=test
}
