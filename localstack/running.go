package localstack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"time"
)

// healthTimeout is how long a LocalStack may take to answer. If nobody listens, the
// answer comes immediately; a busy one is slow, and another cannot be started in its
// place.
const healthTimeout = 20 * time.Second

// healthLimit is the most of an answer that is read, in bytes.
const healthLimit = 1 << 16

// Running reports whether a LocalStack answers at url, and which of the AWS services
// named in want it does not run. If nobody listens there, it returns false and no error.
// If another program answers, the error says which, as far as it shows. Running takes at
// most 20 seconds.
func Running(ctx context.Context, url string, want ...string) (running bool, missing []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/_localstack/health", nil)
	if err != nil {
		return false, nil, err
	}
	// Its own transport leaves no idle connection.
	res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return false, nil, nil
	}
	if err != nil {
		return false, nil, fmt.Errorf("what listens at %s does not answer as LocalStack does: %w", url, err)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, healthLimit))
	if err = errors.Join(err, res.Body.Close()); err != nil {
		return false, nil, fmt.Errorf("what listens at %s does not answer as LocalStack does: %w", url, err)
	}
	var health struct {
		Services map[string]string `json:"services"`
		Server   string            `json:"server"` // of sluice dev
	}
	_ = json.Unmarshal(body, &health) // the fields are empty if it is not JSON
	switch {
	case health.Server == "sqstest":
		return false, nil, fmt.Errorf("the SQS server of sluice dev answers at %s, not LocalStack", url)
	case res.StatusCode != http.StatusOK || len(health.Services) == 0:
		return false, nil, fmt.Errorf("another program answers at %s, not LocalStack", url)
	}
	for _, s := range want {
		if s = strings.TrimSpace(s); health.Services[s] == "" || health.Services[s] == "disabled" {
			missing = append(missing, s)
		}
	}
	slices.Sort(missing)
	return true, missing, nil
}
