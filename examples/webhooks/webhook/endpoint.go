package webhook

import (
	"errors"
	"log/slog"
	"net/http"

	"github.com/sluice-go/sluice/inbox"
)

// Secrets are those of the senders. While one is changed, there are two.
type Secrets struct {
	Internal []string // of Standard Webhooks: "whsec_…" or "whpk_…"
	GitHub   []string
}

// Endpoint returns the HTTP handler that queues the events of our own services, at
// /hooks/internal, and of GitHub, at /hooks/github.
func Endpoint(secrets Secrets, queue inbox.Sender, log *slog.Logger) (http.Handler, error) {
	internal, err := inbox.NewStandard(secrets.Internal, nil)
	if err != nil {
		return nil, err
	}
	github, err := inbox.NewGitHub(secrets.GitHub...)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	var faults []error
	for path, provider := range map[string]inbox.Provider{"/hooks/internal": internal, "/hooks/github": github} {
		in, err := inbox.New(provider, queue, &inbox.Config{Logger: log})
		faults = append(faults, err)
		mux.Handle(path, in)
	}
	return mux, errors.Join(faults...)
}
