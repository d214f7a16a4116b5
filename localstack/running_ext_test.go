package localstack_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
	"github.com/sluice-go/sluice/localstack"
)

// Running distinguishes LocalStack from sluice dev's server and from other programs.
func TestRunning(t *testing.T) {
	t.Parallel()
	dev, err := sqstest.NewServer(nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, dev.Close()) })
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	answers := func(status int, body string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	for name, c := range map[string]struct {
		url     string
		running bool
		missing []string
		fault   string
	}{
		"localstack":  {answers(200, `{"services":{"sqs":"running","s3":"available","sns":"disabled"},"version":"4.9.2"}`), true, []string{"dynamodb", "sns"}, ""},
		"nobody":      {gone.URL, false, nil, ""},
		"sluice dev":  {dev.URL(), false, nil, "the SQS server of sluice dev answers at " + dev.URL()},
		"a web page":  {answers(200, "<html>"), false, nil, "another program answers"},
		"other JSON":  {answers(200, `{"ok":true}`), false, nil, "another program answers"},
		"not healthy": {answers(503, `{"services":{"sqs":"running"}}`), false, nil, "another program answers"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			running, missing, err := localstack.Running(t.Context(), c.url, "sqs", "s3", "sns", "dynamodb")
			require.Equal(t, c.running, running)
			require.Equal(t, c.missing, missing)
			if c.fault == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.fault)
		})
	}
}
