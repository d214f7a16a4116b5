package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler/webhook"
)

// With --http-secret-env an endpoint can verify requests, also
// while a secret is changed, and the secret is seen nowhere.
func TestRequestsAreSigned(t *testing.T) {
	const old, secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
	verifier, err := webhook.NewVerifier([]string{secret}, nil)
	require.NoError(t, err)
	var signed atomic.Int64
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		id, err := verifier.Verify(r.Header, body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		if strings.HasPrefix(id, "sluice-id-") { // the identity, which a redrive keeps
			signed.Add(1)
		}
	}))
	defer endpoint.Close()
	for value, want := range map[string]string{
		old + " " + secret:   `{"received":1,"acked":1,"retried":0,"rejected":0,"duplicates":0}`,
		secret + ",\n" + old: `{"received":1,"acked":1,"retried":0,"rejected":0,"duplicates":0}`,
		old:                  `{"received":1,"acked":0,"retried":0,"rejected":1,"duplicates":0}`,
	} {
		queue := "sqlite://" + filepath.ToSlash(t.TempDir()) + "/jobs.db?queue=orders"
		require.NoError(t, exec.CommandContext(t.Context(), "sluice", "send", queue, "--body", "x").Run())
		t.Setenv("WEBHOOK_SECRET", value)
		run := exec.CommandContext(t.Context(), "sluice", "run", queue, "--http", endpoint.URL, "--http-secret-env", "WEBHOOK_SECRET",
			"--until-empty", "-o", "json", "--log-level", "debug")
		var log bytes.Buffer
		run.Stderr = &log
		out, err := run.Output()
		require.NoError(t, err, log.String())
		require.JSONEq(t, want, string(out))
		for _, s := range []string{old, secret} {
			require.NotContains(t, log.String(), strings.TrimPrefix(s, "whsec_"))
		}
	}
	require.EqualValues(t, 2, signed.Load())
}
