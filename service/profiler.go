package service

import (
	"fmt"
	"net/http"
	"runtime/pprof"
	"runtime/trace"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-go/sluice/internal/sleep"
)

const (
	profilerPath = "/debug/pprof/"
	// defaultProfile is how long a CPU profile or a trace takes if the request does not
	// say, and maxProfile the longest.
	defaultProfile = 30 * time.Second
	maxProfile     = 5 * time.Minute
)

// A profiler serves what go tool pprof asks for. Package net/http/pprof does the same,
// and serves it on http.DefaultServeMux of every program that links it besides.
type profiler struct{}

// ServeHTTP implements http.Handler.
func (p profiler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch name := strings.TrimPrefix(r.URL.Path, profilerPath); name {
	case "":
		p.index(w)
	case "profile":
		p.record(w, r, func() error { return pprof.StartCPUProfile(w) }, pprof.StopCPUProfile)
	case "trace":
		p.record(w, r, func() error { return trace.Start(w) }, trace.Stop)
	default:
		p.lookup(w, r, name)
	}
}

func (profiler) index(w http.ResponseWriter) {
	names := []string{"profile", "trace"}
	for _, one := range pprof.Profiles() {
		names = append(names, one.Name())
	}
	slices.Sort(names)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = fmt.Fprintln(w, strings.Join(names, "\n")) // a client that is gone needs no answer
}

// record lets start write to the answer for as many seconds as the request asks for.
func (profiler) record(w http.ResponseWriter, r *http.Request, start func() error, stop func()) {
	d := defaultProfile
	if text := r.URL.Query().Get("seconds"); text != "" {
		s, err := strconv.ParseFloat(text, 64)
		if err != nil || !(s > 0) || s > maxProfile.Seconds() {
			http.Error(w, fmt.Sprintf("seconds is %q: it must be above 0, and %.0f at most", text, maxProfile.Seconds()), http.StatusBadRequest)
			return
		}
		d = time.Duration(s * float64(time.Second))
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	if err := start(); err != nil { // another one runs
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	defer stop()
	_ = sleep.For(r.Context(), d)
}

func (profiler) lookup(w http.ResponseWriter, r *http.Request, name string) {
	one := pprof.Lookup(name)
	if one == nil {
		http.NotFound(w, r)
		return
	}
	debug, err := strconv.Atoi(r.URL.Query().Get("debug"))
	if err != nil {
		debug = 0
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	if debug > 0 {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	}
	_ = one.WriteTo(w, debug) // a client that is gone needs no answer
}
