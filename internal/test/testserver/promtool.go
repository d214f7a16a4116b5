package testserver

import (
	"context"
	"testing"

	"github.com/sluice-go/sluice/internal/install"
	"github.com/sluice-go/sluice/internal/test/suite"
)

// promtool is Prometheus's tool that tests rules, without its clients of service
// discovery, which are most of it.
const (
	promtool     = "github.com/prometheus/prometheus/cmd/promtool@v0.316.0"
	promtoolTags = "remove_all_sd"
)

// InstallPromtool builds promtool unless it is there, and returns its path.
func InstallPromtool(ctx context.Context) (string, error) {
	return install.GoTool(ctx, promtool, promtoolTags)
}

// Promtool returns the path of promtool. The first time it is built, which takes some
// minutes; -short leaves such a test out.
func Promtool(t testing.TB) string {
	t.Helper()
	if !Required() {
		suite.Slow(t)
		if pathOnly() {
			t.Skip("promtool is not on the PATH of a fresh clone")
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), installTimeout)
	defer cancel()
	path, err := InstallPromtool(ctx)
	if err != nil {
		unavailable(t, "promtool", err)
	}
	return path
}
