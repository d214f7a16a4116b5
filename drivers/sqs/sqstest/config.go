package sqstest

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// DefaultRegion is the region of a server whose Config has none.
const DefaultRegion = "us-east-1"

const (
	defaultAddr          = "127.0.0.1:0"
	defaultAccountID     = "000000000000"
	defaultMaxInFlight   = 120000
	defaultPurgeInterval = time.Minute
)

// Config configures a [Server]. The zero Config, and nil, work.
type Config struct {
	// Addr is where [NewServer] listens, as net.Listen takes it; [New] does not
	// look at it. Empty means 127.0.0.1:0, a free port of the
	// loopback interface. The server checks no signatures: do not open it to a
	// network.
	Addr string

	// Region is the region in ARNs. Empty means DefaultRegion. Clients may sign
	// for any region.
	Region string

	// AccountID is the account that owns the queues: twelve digits. Empty means
	// 000000000000, and then the server ignores the account in a queue URL that a
	// client sends, so that a URL of a real queue finds the queue of that name. With an AccountID, a URL of another account is
	// AWS.SimpleQueueService.NonExistentQueue.
	AccountID string

	// Clock is the time. Nil means the real time (in a testing/synctest bubble,
	// the bubble's). A [ManualClock] moves only when the test moves it. If Store
	// is set, its clock must be this one.
	Clock Clock

	// Store keeps the messages. Nil means a new store in memory, which Close
	// closes. One that is given here stays open, may be used by other servers at
	// the same time, and carries queues, attributes, tags and messages from one
	// server to the next; move tasks, the purge interval and RecreateDelay start
	// anew.
	Store Store

	// AccessKeyIDs are the access keys that may call. Nil means that anybody
	// may, unsigned requests included. Otherwise a request without a key is
	// MissingAuthenticationToken and one with another key is
	// InvalidClientTokenId. Signatures are not checked in any case.
	AccessKeyIDs []string

	// MaxInFlight is how many messages of a queue may be in flight. Zero means
	// 120,000. Beyond it a short poll of a standard queue is
	// OverLimit; long polls, and any poll of a FIFO queue, find nothing. Receives
	// at the same time may exceed it by what they get.
	MaxInFlight int

	// PurgeInterval is how long after a PurgeQueue the next one of that queue is
	// PurgeQueueInProgress. Zero means one minute, negative none.
	PurgeInterval time.Duration

	// RecreateDelay is how long after a DeleteQueue a CreateQueue of that name
	// is QueueDeletedRecently. Zero means none, which is what most tests want;
	// SQS's is 60 seconds.
	RecreateDelay time.Duration

	// KeepRequests is how many requests [Server.Requests] remembers. Zero means
	// none; they are counted in any case.
	KeepRequests int

	// Seed makes faults with a Probability strike in the same order again. Zero
	// is a seed like any other.
	Seed uint64
}

// withDefaults copies c and fills it in.
func (c *Config) withDefaults() Config {
	var d Config
	if c != nil {
		d = *c
	}
	if d.Addr == "" {
		d.Addr = defaultAddr
	}
	if d.Region == "" {
		d.Region = DefaultRegion
	}
	if d.Clock == nil {
		d.Clock = realClock{}
	}
	if d.MaxInFlight == 0 {
		d.MaxInFlight = defaultMaxInFlight
	}
	if d.PurgeInterval == 0 {
		d.PurgeInterval = defaultPurgeInterval
	}
	return d
}

// validate returns all faults of a filled-in Config.
func (c *Config) validate() error {
	var faults []error
	refuse := func(field, format string, args ...any) {
		faults = append(faults, fmt.Errorf("sqstest: Config.%s: %s", field, fmt.Sprintf(format, args...)))
	}
	if c.AccountID != "" && (len(c.AccountID) != 12 || strings.Trim(c.AccountID, "0123456789") != "") {
		refuse("AccountID", "%q is not twelve digits", c.AccountID)
	}
	if strings.ContainsAny(c.Region, ": /") {
		refuse("Region", "%q is not the name of a region", c.Region)
	}
	if c.MaxInFlight < 0 {
		refuse("MaxInFlight", "%d is negative", c.MaxInFlight)
	}
	if c.RecreateDelay < 0 {
		refuse("RecreateDelay", "%v is negative", c.RecreateDelay)
	}
	if c.KeepRequests < 0 {
		refuse("KeepRequests", "%d is negative", c.KeepRequests)
	}
	return errors.Join(faults...)
}
