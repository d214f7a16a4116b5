package sqstest

import (
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-go/sluice/internal/queue"
)

// maxListed is the default and the largest number of queues in a list.
const maxListed = 1000

// queueActions create, list, change and delete queues.
type queueActions struct {
	*registry
	purged  map[string]time.Time // under changing
	deleted map[string]time.Time // under changing
}

func (s *queueActions) createQueue(c *call, q *createQueueRequest) *apiError {
	if q.QueueName == "" {
		return missing("QueueName")
	}
	fifo := strings.EqualFold(q.Attributes[attrFifo], yes)
	if err := checkName(q.QueueName, fifo); err != nil {
		return err
	}
	attributes, err := normalize(q.Attributes, fifo)
	if err != nil {
		return err
	}
	if err := checkTags(q.QueueName, q.tags(), nil); err != nil {
		return err
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	switch old, err := s.settings(c.ctx, q.QueueName); {
	case err == nil:
		if name, differs := old.differs(attributes); differs {
			return fault(codeQueueNameExists, "A queue already exists with the same name and a different value for attribute %s", name)
		}
		s.writeURL(c, q.QueueName)
		return nil
	case err.code != codeQueueDoesNotExist:
		return err
	}
	now := s.cfg.Clock.Now()
	if at, ok := s.deleted[q.QueueName]; ok && now.Sub(at) < s.cfg.RecreateDelay {
		return plain(codeQueueDeletedRecently)
	}
	made, err := newSettings(q.QueueName, attributes, q.tags(), now, now)
	if err != nil {
		return err
	}
	if err := s.checkTarget(c.ctx, made); err != nil {
		return err
	}
	if err := s.engine.Create(c.ctx, q.QueueName, made.config()); err != nil {
		if errors.Is(err, queue.ErrExists) {
			return plain(codeQueueNameExists)
		}
		return engineError(err)
	}
	delete(s.deleted, q.QueueName)
	s.learned(made)
	s.writeURL(c, q.QueueName)
	return nil
}

func (s *queueActions) writeURL(c *call, name string) {
	c.out.open('{')
	c.out.member("QueueUrl", s.queueURL(c.origin, name))
	c.out.close('}')
}

func (s *queueActions) deleteQueue(c *call, q *queueRequest) *apiError {
	s.changing.Lock()
	defer s.changing.Unlock()
	found, err := s.queue(c.ctx, q.QueueURL)
	if err != nil {
		return err
	}
	if err := s.engine.Remove(c.ctx, found.name); err != nil {
		return s.gone(found.name, err)
	}
	s.known.Delete(found.name)
	s.inFlight.Delete(found.name)
	delete(s.purged, found.name)
	if s.cfg.RecreateDelay > 0 {
		s.deleted[found.name] = s.cfg.Clock.Now()
	}
	return nil
}

func (s *queueActions) purgeQueue(c *call, q *queueRequest) *apiError {
	s.changing.Lock()
	defer s.changing.Unlock()
	found, err := s.queue(c.ctx, q.QueueURL)
	if err != nil {
		return err
	}
	now := s.cfg.Clock.Now()
	if at, ok := s.purged[found.name]; ok && now.Sub(at) < s.cfg.PurgeInterval {
		return fault(codePurgeQueueInProgress, "Only one PurgeQueue operation on %s is allowed every %d seconds.", found.name, s.cfg.PurgeInterval/time.Second)
	}
	if err := s.engine.Purge(c.ctx, found.name); err != nil {
		return s.gone(found.name, err)
	}
	s.purged[found.name] = now
	return nil
}

func (s *queueActions) getQueueURL(c *call, q *getQueueURLRequest) *apiError {
	if q.QueueName == "" {
		return missing("QueueName")
	}
	if q.QueueOwnerAWSAccountID != "" && s.cfg.AccountID != "" && q.QueueOwnerAWSAccountID != s.account {
		return plain(codeQueueDoesNotExist)
	}
	if _, err := s.settings(c.ctx, q.QueueName); err != nil {
		return err
	}
	s.writeURL(c, q.QueueName)
	return nil
}

func (s *queueActions) listQueues(c *call, q *listRequest) *apiError {
	names, err := s.engine.List(c.ctx)
	if err != nil {
		return engineError(err)
	}
	names = slices.DeleteFunc(names, func(name string) bool { return !strings.HasPrefix(name, q.QueueNamePrefix) })
	return s.writeList(c, q, "QueueUrls", names)
}

func (s *queueActions) listDeadLetterSourceQueues(c *call, q *listRequest) *apiError {
	found, err := s.queue(c.ctx, q.QueueURL)
	if err != nil {
		return err
	}
	names, err := s.sourcesOf(c.ctx, found.name)
	if err != nil {
		return err
	}
	return s.writeList(c, q, "queueUrls", names)
}

// writeList writes one page of the names, which are sorted. The token is the
// last name of the page before.
func (s *queueActions) writeList(c *call, q *listRequest, member string, names []string) *apiError {
	limit := maxListed
	if q.MaxResults != nil {
		if limit = int(*q.MaxResults); limit < 1 || limit > maxListed {
			return invalidParameter("Value %d for parameter MaxResults is invalid. Reason: Must be between 1 and %d, if provided.", limit, maxListed)
		}
	}
	if q.NextToken != "" {
		last, err := base64.URLEncoding.DecodeString(q.NextToken)
		if err != nil {
			return invalidParameter("Invalid or expired next token.")
		}
		i, found := slices.BinarySearch(names, string(last))
		if found {
			i++
		}
		names = names[i:]
	}
	more := len(names) > limit
	if more {
		names = names[:limit]
	}
	c.out.open('{')
	if len(names) > 0 || member == "queueUrls" { // which is a required member
		c.out.key(member)
		c.out.open('[')
		for _, name := range names {
			c.out.str(s.queueURL(c.origin, name))
		}
		c.out.close(']')
	}
	if more && q.MaxResults != nil {
		c.out.member("NextToken", base64.URLEncoding.EncodeToString([]byte(names[limit-1])))
	}
	c.out.close('}')
	return nil
}

func (s *queueActions) getQueueAttributes(c *call, q *queueRequest) *apiError {
	found, err := s.queue(c.ctx, q.QueueURL)
	if err != nil {
		return err
	}
	if len(q.AttributeNames) == 0 {
		return nil
	}
	all, counts := false, false
	for _, name := range q.AttributeNames {
		if _, ok := ruleOf(name); !ok && name != attrAll {
			return unknownAttribute(name)
		}
		all = all || name == attrAll
		counts = counts || all || name == attrVisible || name == attrInFlight || name == attrDelayed
	}
	var stats queue.Stats
	if counts {
		var err error
		if stats, err = s.engine.Stats(c.ctx, found.name); err != nil {
			return s.gone(found.name, err)
		}
	}
	none := true // and then the answer has no member Attributes
	write := func(name, value string) {
		if value == "" || !all && !slices.Contains(q.AttributeNames, name) {
			return
		}
		if none {
			c.out.open('{')
			c.out.key("Attributes")
			c.out.open('{')
			none = false
		}
		c.out.member(name, value)
	}
	write(attrArn, s.queueARN(found.name))
	write(attrVisible, strconv.FormatInt(stats.Visible, 10))
	write(attrInFlight, strconv.FormatInt(stats.InFlight, 10))
	write(attrDelayed, strconv.FormatInt(stats.Delayed, 10))
	write(attrCreated, strconv.FormatInt(found.created.Unix(), 10))
	write(attrModified, strconv.FormatInt(found.modified.Unix(), 10))
	for _, name := range settable() {
		write(name, found.attribute(name))
	}
	if !none {
		c.out.close('}')
		c.out.close('}')
	}
	return nil
}

func (s *queueActions) setQueueAttributes(c *call, q *queueRequest) *apiError {
	if q.Attributes == nil {
		return missing("Attributes")
	}
	return s.change(c, q.QueueURL, func(old *settings) (*settings, *apiError) {
		attributes, err := normalize(q.Attributes, old.fifo)
		if err != nil {
			return nil, err
		}
		changed, err := old.with(attributes, s.cfg.Clock.Now())
		if err != nil {
			return nil, err
		}
		if attributes[attrRedrive] != "" {
			if err := s.checkTarget(c.ctx, changed); err != nil {
				return nil, err
			}
		}
		return changed, nil
	})
}
