package main

import (
	"context"
	"encoding/json"
	"strings"
	"time"
)

// tasks by WORKFLOW/TASK_ID, as the workflow in Python names them.
var tasks = map[string]func(context.Context, json.RawMessage) (any, error){
	"greetings/greet": func(ctx context.Context, input json.RawMessage) (any, error) {
		var guest struct {
			Name    string
			Seconds float64
		}
		if err := json.Unmarshal(input, &guest); err != nil {
			return nil, err
		}
		select {
		case <-time.After(time.Duration(guest.Seconds * float64(time.Second))):
			return "hello, " + guest.Name, nil
		case <-ctx.Done(): // nobody wants it any more
			return nil, ctx.Err()
		}
	},
	"greetings/shout": func(_ context.Context, input json.RawMessage) (any, error) {
		var text string
		err := json.Unmarshal(input, &text)
		return strings.ToUpper(text) + "!", err
	},
}
