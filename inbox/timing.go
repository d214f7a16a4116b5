package inbox

import (
	"fmt"
	"time"

	"github.com/sluice-go/sluice/handler/webhook"
	"github.com/sluice-go/sluice/internal/setting"
)

// defaultTolerance is that of webhook.VerifierConfig.
const defaultTolerance = 5 * time.Minute

// timing has the clock of a provider that signs timestamps.
type timing struct {
	tolerance time.Duration
	now       func() time.Time
}

// newTiming returns the timing of a configuration. A nil config has the defaults.
func newTiming(provider string, config *webhook.VerifierConfig) (timing, error) {
	c := setting.Copy(config)
	if err := setting.Default("Tolerance", &c.Tolerance, defaultTolerance); err != nil {
		return timing{}, fmt.Errorf("inbox: %s: %w", provider, err)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return timing{tolerance: c.Tolerance, now: c.Now}, nil
}

// check returns an error unless the timestamp is within the tolerance.
func (t timing) check(stamp string) error { return fresh(stamp, t.now(), t.tolerance) }
