import type { Asked } from "../run.ts";
import { body, endpoint } from "./asking.ts";

/** By the standard library alone. */
export function go(asked: Asked, baseUrl: string): string {
  return `package main

import (
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"strings"
)

const body = ${rawString(body(asked, baseUrl))}

func main() {
	url := ${JSON.stringify(endpoint(baseUrl))}
	response, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	var answer struct{ Text, Message string }
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		log.Fatal(err)
	}
	if response.StatusCode != http.StatusOK {
		log.Fatal(answer.Message)
	}
	fmt.Println(answer.Text)
}
`;
}

/** Neither backquotes nor byte order marks can stand in one; JSON has an escape for the latter. */
function rawString(json: string): string {
  const escaped = json.replaceAll("\uFEFF", "\\ufeff").replaceAll("`", '` + "`" + `');
  return `\`${escaped}\``;
}
