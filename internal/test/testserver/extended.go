package testserver

import (
	"context"
	_ "embed" // for the pinned list
	"testing"

	"github.com/sluice-go/sluice/internal/install"
)

//go:embed extended/requirements.txt
var extendedRequirements []byte

// ExtendedClient returns the path of a Python interpreter that has the Amazon SQS
// Extended Client Library (sqs_extended_client) and boto3.
func ExtendedClient(t testing.TB) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), installTimeout)
	defer cancel()
	python, err := install.Python(ctx, "sqs-extended-client", extendedRequirements)
	if err != nil {
		unavailable(t, "the Amazon SQS Extended Client Library for Python", err)
	}
	return python
}
