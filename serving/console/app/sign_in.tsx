import { useState } from 'preact/hooks';
import { askScopes } from './api.ts';
import { isUnknown, rememberKey } from './caller.ts';
import { refresh } from './live.ts';

/** What a caller sees that the platform does not know. */
export function SignIn() {
  const [key, setKey] = useState('');
  return (
    <form
      class="sign-in"
      onSubmit={(event) => {
        event.preventDefault();
        rememberKey(key);
        isUnknown.set(false);
        refresh();
        void askScopes();
      }}
    >
      <p>This platform answers callers that it knows. The key stays in this tab, until it is closed.</p>
      <label>
        API key or token
        <input type="password" autocomplete="off" value={key} onInput={(event) => setKey(event.currentTarget.value)} />
      </label>
      <button type="submit" class="primary">
        Use it in this tab
      </button>
    </form>
  );
}
