package sqstest

import (
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-go/sluice/internal/queue"
)

// The prefixes of a queue's attributes and tags in queue.Config.Extra.
const (
	extraAttribute = "sqs.attribute."
	extraTag       = "sqs.tag."
	extraModified  = "sqs.modified"
	extraScope     = "sqs.scope"
)

// dedupeWindow is fixed in SQS.
const dedupeWindow = 5 * time.Minute

// settings is a queue's configuration as SQS sees it, parsed. It is never
// changed once it is made; a changed queue has a new one.
type settings struct {
	name       string
	fifo       bool
	attributes map[string]string // those that were set; the others have their initial values
	tags       map[string]string
	created    time.Time
	modified   time.Time
	other      map[string]string // members of Extra that are not ours
	redrive    redrivePolicy
	// scope is the DeduplicationScope that the queue was made with. SQS accepts a
	// change of the attribute and keeps using the old value.
	scope string

	// The attributes that every send or receive looks at.
	visibility    time.Duration
	wait          time.Duration
	maxSize       int
	contentDedupe bool
}

// newSettings makes the settings of a queue; the attributes are normalized.
func newSettings(name string, attributes, tags map[string]string, created, modified time.Time) (*settings, *apiError) {
	s := &settings{
		name:       name,
		fifo:       strings.HasSuffix(name, fifoSuffix),
		attributes: maps.Clone(attributes),
		tags:       maps.Clone(tags),
		created:    created,
		modified:   modified,
	}
	if s.attributes == nil {
		s.attributes = map[string]string{}
	}
	// An empty document or key takes the attribute away.
	maps.DeleteFunc(s.attributes, func(_, v string) bool { return v == "" })
	if s.attributes[attrKmsKey] != "" && s.attributes[attrManagedSse] == yes {
		return nil, fault(codeInvalidAttributeName, "You can use one type of server-side encryption (SSE) at one time. You can either enable KMS SSE or SQS SSE.")
	}
	if s.attribute(attrThroughputLimit) == limitPerGroup && s.attribute(attrDedupeScope) != scopeGroup {
		return nil, fault(codeInvalidAttributeValue, "The perMessageGroupId value of FifoThroughputLimit is allowed only when the value of DeduplicationScope is messageGroup.")
	}
	if document := s.attributes[attrRedrive]; document != "" {
		policy, err := parseRedrive(document)
		if err != nil {
			return nil, err
		}
		s.redrive = policy
	}
	if document := s.attributes[attrRedriveAllow]; document != "" {
		if _, err := parseAllow(document); err != nil {
			return nil, err
		}
	}
	s.scope = s.attribute(attrDedupeScope)
	s.visibility = s.seconds(attrVisibility)
	s.wait = s.seconds(attrWait)
	s.maxSize = int(s.seconds(attrMaxSize) / time.Second)
	s.contentDedupe = s.attribute(attrContentDedupe) == yes
	return s, nil
}

// attribute returns the value that a settable attribute has, set or not; empty
// if it has none.
func (s *settings) attribute(name string) string {
	if v, ok := s.attributes[name]; ok {
		return v
	}
	switch {
	case name == attrManagedSse && s.attributes[attrKmsKey] != "":
		return no
	case name == attrKmsReuse && s.attributes[attrKmsKey] != "":
		return defaultKmsReusePeriod
	}
	if rule, _ := ruleOf(name); !rule.fifo || s.fifo {
		return rule.initial
	}
	return ""
}

// seconds returns a number attribute, which normalize has checked.
func (s *settings) seconds(name string) time.Duration {
	n, err := strconv.Atoi(s.attribute(name))
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}

// config is the engine's configuration. A visibility timeout of 0 means the
// default to the engine, so receives always pass their own. The queue is lax:
// the engine's own law is stricter than SQS's.
func (s *settings) config() queue.Config {
	c := queue.Config{
		Visibility:     s.visibility,
		Retention:      s.seconds(attrRetention),
		Delay:          s.seconds(attrDelay),
		Ordered:        s.fifo,
		Lax:            true,
		DedupePerGroup: s.scope == scopeGroup,
		MaxReceives:    s.redrive.maxReceives,
		Extra:          make(map[string]string, len(s.attributes)+len(s.tags)+len(s.other)+2),
	}
	if s.fifo {
		c.DedupeWindow = dedupeWindow
	}
	if s.redrive.target != "" {
		c.DeadLetter = queueName(s.redrive.target)
	}
	maps.Copy(c.Extra, s.other)
	for k, v := range s.attributes {
		c.Extra[extraAttribute+k] = v
	}
	for k, v := range s.tags {
		c.Extra[extraTag+k] = v
	}
	if s.fifo {
		c.Extra[extraScope] = s.scope
	}
	c.Extra[extraModified] = strconv.FormatInt(s.modified.UnixNano(), 10)
	return c
}

// settingsOf reads them back. arn makes a queue's ARN of its name: a queue that
// another face of the engine made has a Config and no attributes.
func settingsOf(name string, c queue.Config, created time.Time, arn func(string) string) (*settings, *apiError) {
	attributes := map[string]string{}
	tags := map[string]string{}
	other := map[string]string{}
	modified := created
	for k, v := range c.Extra {
		if a, ok := strings.CutPrefix(k, extraAttribute); ok {
			attributes[a] = v
		} else if t, ok := strings.CutPrefix(k, extraTag); ok {
			tags[t] = v
		} else if k == extraScope {
			continue
		} else if k == extraModified {
			if n, err := strconv.ParseInt(v, 10, 64); err == nil {
				modified = time.Unix(0, n)
			}
		} else {
			other[k] = v
		}
	}
	if _, ours := c.Extra[extraModified]; !ours {
		inSeconds := func(name string, d time.Duration) {
			if d > 0 {
				attributes[name] = strconv.FormatInt(int64(d/time.Second), 10)
			}
		}
		inSeconds(attrVisibility, c.Visibility)
		inSeconds(attrRetention, c.Retention)
		inSeconds(attrDelay, c.Delay)
		if c.DeadLetter != "" && c.MaxReceives > 0 {
			attributes[attrRedrive] = `{"deadLetterTargetArn":"` + arn(c.DeadLetter) + `","maxReceiveCount":` + strconv.Itoa(c.MaxReceives) + `}`
		}
	}
	s, err := newSettings(name, attributes, tags, created, modified)
	if err != nil {
		return nil, err
	}
	s.other = other
	if made := c.Extra[extraScope]; made != "" {
		s.scope = made
	}
	return s, nil
}

// with returns the settings with attributes changed.
func (s *settings) with(changed map[string]string, now time.Time) (*settings, *apiError) {
	attributes := maps.Clone(s.attributes)
	maps.Copy(attributes, changed)
	if changed[attrKmsKey] != "" && changed[attrManagedSse] == "" {
		delete(attributes, attrManagedSse)
	}
	if changed[attrManagedSse] == yes && changed[attrKmsKey] == "" {
		delete(attributes, attrKmsKey)
		delete(attributes, attrKmsReuse)
	}
	n, err := newSettings(s.name, attributes, s.tags, s.created, now)
	if err != nil {
		return nil, err
	}
	n.other, n.scope = s.other, s.scope
	return n, nil
}

// tagged returns the settings with tags replaced. Tags do not count as a change
// of the queue.
func (s *settings) tagged(tags map[string]string) *settings {
	n := *s
	n.tags = tags
	return &n
}

// differs returns the first attribute that a second CreateQueue asks for
// otherwise than the queue has it. Those that it does not name are not compared.
func (s *settings) differs(wanted map[string]string) (string, bool) {
	for _, name := range settable() {
		if v, ok := wanted[name]; ok && v != s.attribute(name) {
			return name, true
		}
	}
	return "", false
}
