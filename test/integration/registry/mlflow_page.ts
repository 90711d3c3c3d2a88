import { type Browser, chromium, type Page } from 'playwright-core';
import { serviceAddress } from '../service_address.ts';

const STEP_MS = 15_000;

export const openBrowser = (): Promise<Browser> =>
  chromium.launch({ executablePath: serviceAddress('TEST_CHROMIUM'), args: ['--no-sandbox'] });

async function openVersion(browser: Browser, name: string, version: number): Promise<Page> {
  const page = await browser.newPage({ viewport: { width: 1_600, height: 900 } });
  page.setDefaultTimeout(STEP_MS);
  await page.goto(`${serviceAddress('TEST_MLFLOW_URL')}/#/models/${name}/versions/${version}`);
  await page.getByText('Registered At').waitFor();
  return page;
}

/** As somebody does who clicks in the user interface: gives a version an alias. */
export async function giveAlias(browser: Browser, name: string, version: number, alias: string): Promise<void> {
  const page = await openVersion(browser, name, version);
  // The first of them is of the aliases, the second of the tags.
  await page.getByRole('button', { name: 'Add' }).first().click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('combobox').click();
  await page.keyboard.type(alias, { delay: 20 });
  await page.locator('.du-bois-light-select-item-option', { hasText: alias }).first().click();
  await dialog.getByRole('button', { name: 'Save aliases' }).click();
  await dialog.waitFor({ state: 'hidden' });
  await page.close();
}

/** As somebody does who clicks in the user interface of stages: moves a version. */
export async function moveToStage(
  browser: Browser,
  name: string,
  version: number,
  from: string,
  to: string,
): Promise<void> {
  const page = await openVersion(browser, name, version);
  await page.getByRole('switch').click();
  await page.getByRole('dialog').getByRole('button', { name: 'Disable' }).click();
  await page.locator('.mlflow-stage-transition-dropdown', { hasText: from }).click();
  await page.locator('[role=menuitem]', { hasText: to }).click();
  const dialog = page.getByRole('dialog').last();
  await dialog.getByRole('button', { name: 'OK' }).click();
  await page.locator('.mlflow-stage-transition-dropdown', { hasText: to }).waitFor();
  await page.close();
}
