package lambdatest

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestFailures has AWS's conditions of success and failure.
func TestFailures(t *testing.T) {
	for _, c := range []struct {
		response string
		failed   []string
		nonsense string
	}{
		{`null`, nil, ""},
		{`{}`, nil, ""},
		{`{"batchItemFailures":null}`, nil, ""},
		{`{"batchItemFailures":[]}`, nil, ""},
		{`{"batchItemFailures":[{"itemIdentifier":"a"}]}`, []string{"a"}, ""},
		{`{"batchItemFailures":[{"itemIdentifier":"a"},{"itemIdentifier":"b"},{"itemIdentifier":"a"}]}`, []string{"a", "b"}, ""},
		{``, nil, "no JSON"},
		{`"a"`, nil, "no JSON"},
		{`{"batchItemFailures":["a"]}`, nil, "no JSON"},
		{`{"batchItemFailures":[{"itemIdentifier":""}]}`, nil, "empty"},
		{`{"batchItemFailures":[{"itemIdentifier":null}]}`, nil, "without"},
		{`{"batchItemFailures":[{"messageId":"a"}]}`, nil, "without"},
		{`{"batchItemFailures":[{"itemIdentifier":"a"},{"itemIdentifier":"c"}]}`, nil, "no message of the batch"},
	} {
		t.Run(c.response, func(t *testing.T) {
			failed, err := Failures([]byte(c.response), []string{"a", "b"})
			if c.nonsense != "" {
				require.ErrorContains(t, err, c.nonsense)
				return
			}
			require.NoError(t, err)
			require.Len(t, failed, len(c.failed))
			for _, id := range c.failed {
				require.True(t, failed[id])
			}
		})
	}
}
