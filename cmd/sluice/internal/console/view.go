package console

import (
	"strconv"
	"time"
)

// A view is what the layout of a page needs, and the page's own data.
type view struct {
	Title string
	// At is the part of the console that the page is in.
	At string
	// Viewer is who looks.
	Viewer identity
	// CanLogOut is true if the viewer has logged in here.
	CanLogOut bool
	// Delays is true if there is a page of schedules.
	Delays bool
	// Refresh is how often the page is made anew; zero never.
	Refresh time.Duration
	// Every is how often queues are counted.
	Every time.Duration
	Data  any
}

// RefreshMillis is Refresh as the script reads it.
func (v *view) RefreshMillis() string { return strconv.FormatInt(v.Refresh.Milliseconds(), 10) }
